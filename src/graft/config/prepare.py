"""Settings of ``graft prepare``."""

from __future__ import annotations

from pathlib import Path

from graft.config.base import Settings, setting
from graft.config.common import HubSettings, SourceSettings
from graft.config.served import TeacherSettings
from graft.config.types import Listed


class StepSettings(Settings):
    """Which steps run, and where the rows go."""

    steps: Listed = setting((), "steps to run besides the safe ones; an option of a step asks for it, too")
    skip_steps: Listed = setting((), "safe steps to skip")
    output_path: Path | None = setting(None, "folder for the rows, changes.jsonl, and manifest.json", "output_dir", "o")
    overwrite: bool = setting(False, "replace the prepared data in the output folder")
    seed: int = setting(42, "random seed", ge=0, lt=2**32)


class PrepareSettings(StepSettings, TeacherSettings, HubSettings, SourceSettings):
    """All settings of ``graft prepare``; steps add their own."""
