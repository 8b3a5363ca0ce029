"""What ``graft evaluate`` takes."""

from __future__ import annotations

from pathlib import Path

from graft.settings.base import setting
from graft.settings.shared import DataSettings, EvaluationSettings, ModelSettings


class EvaluateSettings(DataSettings, EvaluationSettings, ModelSettings):
    """Everything ``graft evaluate`` takes."""

    output_path: Path | None = setting(
        None, "folder for evaluation.json and predictions.jsonl (default: the run folder)", "output_dir", "o"
    )
