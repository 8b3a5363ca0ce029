"""Settings of ``graft doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from graft.config.base import Settings, setting
from graft.config.common import DataSettings, ModelSettings
from graft.config.types import Listed, Paths


class GateSettings(Settings):
    """What ends the command with exit code 3."""

    fail_on: Literal["error", "warning", "note"] | None = setting(
        None, "end with exit code 3 if there is a finding of this severity or higher"
    )


class CheckSettings(GateSettings):
    """What is checked, and where the findings go."""

    against: Paths | None = setting(
        None, "files with rows that must not be in the training data, such as those of a benchmark"
    )
    checks: Listed | None = setting(None, "checks to run (default: all)")
    skip_checks: Listed = setting((), "checks to skip")
    encoder: str | None = setting(
        None, "encoder whose embeddings help to find likely wrong labels (default: all-minilm-l6-v2, if downloaded)"
    )
    show: int | None = setting(None, "number of rows to print as the model sees them; needs --model", ge=0)
    output_path: Path | None = setting(
        None, "folder for doctor.html, doctor.json, and review.jsonl (default: nothing is written)", "output_dir", "o"
    )
    overwrite: bool = setting(False, "replace the files in the output folder")
    seed: int = setting(42, "random seed", ge=0, lt=2**32)


class DoctorSettings(CheckSettings, ModelSettings, DataSettings):
    """All settings of ``graft doctor`` for data; checks add their own."""
