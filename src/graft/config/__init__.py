"""All settings, each declared once with its type, default, bounds, help, and aliases.

The command line, YAML files, the JSON schema (``graft COMMAND --help --json``) and the reference page are generated
from these classes. ``None`` means "not given": graft infers the value from the data, the model and the machine, prints
it, and records it. A method, a loss, a task or an export target adds its own settings class (``compose``).
"""

from __future__ import annotations

from graft.config.adapters import GenerateAdapterSettings
from graft.config.base import Settings, build, option_names, setting
from graft.config.benchmark import BenchmarkSettings, BenchmarkTaskSettings
from graft.config.chat import ChatSettings
from graft.config.common import (
    DataSettings,
    EvaluationSettings,
    HubSettings,
    ModelSettings,
    RowSettings,
    SourceSettings,
)
from graft.config.compose import Component, compose, config_of, takers
from graft.config.describe import IN_WORDS, in_words, one_of, options_of, refusal, takes_several
from graft.config.doctor import CheckSettings, DoctorSettings, GateSettings
from graft.config.evaluate import EndpointSettings, EvaluateSettings
from graft.config.export import BundleSettings, ExportSettings, GgufConfig, OnnxGenaiConfig
from graft.config.finetune import (
    SECRET,
    FinetuneSettings,
    LossSettings,
    MethodSettings,
    TokenSettings,
    TrainingSettings,
)
from graft.config.init import InitSettings
from graft.config.interpolation import interpolated, paths_of, recordable
from graft.config.prepare import PrepareSettings, StepSettings
from graft.config.rate import RateSettings
from graft.config.search import StudySettings
from graft.config.served import ServerSettings, TeacherSettings
from graft.config.types import Listed, Pairs, Template, split_paths

__all__ = [
    "IN_WORDS",
    "SECRET",
    "BenchmarkSettings",
    "BenchmarkTaskSettings",
    "BundleSettings",
    "ChatSettings",
    "CheckSettings",
    "Component",
    "DataSettings",
    "DoctorSettings",
    "EndpointSettings",
    "EvaluateSettings",
    "EvaluationSettings",
    "ExportSettings",
    "FinetuneSettings",
    "GateSettings",
    "GenerateAdapterSettings",
    "GgufConfig",
    "HubSettings",
    "InitSettings",
    "Listed",
    "LossSettings",
    "MethodSettings",
    "ModelSettings",
    "OnnxGenaiConfig",
    "Pairs",
    "PrepareSettings",
    "RateSettings",
    "RowSettings",
    "ServerSettings",
    "Settings",
    "SourceSettings",
    "StepSettings",
    "StudySettings",
    "TeacherSettings",
    "Template",
    "TokenSettings",
    "TrainingSettings",
    "build",
    "compose",
    "config_of",
    "in_words",
    "interpolated",
    "one_of",
    "option_names",
    "options_of",
    "paths_of",
    "recordable",
    "refusal",
    "setting",
    "split_paths",
    "takers",
    "takes_several",
]
