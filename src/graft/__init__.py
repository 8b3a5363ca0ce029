"""graft: fine-tune a small language model on your own data, measure the improvement, and export the model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from graft._version import __version__

if TYPE_CHECKING:
    from graft.api import (
        Bundle,
        Model,
        Predictor,
        Run,
        Scores,
        doctor,
        evaluate,
        export_model,
        finetune,
        load,
        prepare,
        search_settings,
    )
    from graft.commands.benchmark import benchmark_models
    from graft.commands.evaluate import evaluate_model
    from graft.data.example import AnswerExample, Example
    from graft.errors import GateError, GraftError, InputError, Interrupted
    from graft.progress import Reporter, Silent
    from graft.runs.view import Estimate

_PUBLIC = {
    "AnswerExample": "graft.data.example",
    "Bundle": "graft.api",
    "Estimate": "graft.runs.view",
    "Example": "graft.data.example",
    "GateError": "graft.errors",
    "GraftError": "graft.errors",
    "InputError": "graft.errors",
    "Interrupted": "graft.errors",
    "Model": "graft.api",
    "Predictor": "graft.api",
    "Reporter": "graft.progress",
    "Run": "graft.api",
    "Scores": "graft.api",
    "Silent": "graft.progress",
    "benchmark_models": "graft.commands.benchmark",
    "doctor": "graft.api",
    "evaluate": "graft.api",
    "evaluate_model": "graft.commands.evaluate",
    "export_model": "graft.api",
    "finetune": "graft.api",
    "load": "graft.api",
    "prepare": "graft.api",
    "search_settings": "graft.api",
}

__all__ = [
    "AnswerExample",
    "Bundle",
    "Estimate",
    "Example",
    "GateError",
    "GraftError",
    "InputError",
    "Interrupted",
    "Model",
    "Predictor",
    "Reporter",
    "Run",
    "Scores",
    "Silent",
    "__version__",
    "benchmark_models",
    "doctor",
    "evaluate",
    "evaluate_model",
    "export_model",
    "finetune",
    "load",
    "prepare",
    "search_settings",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: importing graft imports no torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'graft' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
