"""What ``graft evaluate`` takes."""

from __future__ import annotations

from pathlib import Path

from graft.config.base import setting
from graft.config.common import EvaluationSettings, ModelSettings, RowSettings


class EvaluateSettings(RowSettings, EvaluationSettings, ModelSettings):
    """Everything ``graft evaluate`` takes."""

    max_eval_samples: int | None = setting(None, "judge no more than so many rows, drawn with the same mix", gt=0)
    output_path: Path | None = setting(
        None, "folder for evaluation.json and predictions.jsonl (default: the run folder)", "output_dir", "o"
    )
