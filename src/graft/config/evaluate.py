"""Settings of ``graft evaluate``."""

from __future__ import annotations

from pathlib import Path

from graft.config.base import setting
from graft.config.common import BackendSettings, EvaluationSettings, LengthSettings, ModelSettings, RowSettings
from graft.config.served import ServerSettings


class EndpointSettings(ServerSettings):
    """How to query a server whose address is given in place of a model."""

    run: Path | None = setting(
        None, "run to compare a server with: its held-out rows, prompts, labels, limits and recorded answers"
    )


class EvaluateSettings(
    EndpointSettings, LengthSettings, RowSettings, EvaluationSettings, ModelSettings, BackendSettings
):
    """All settings of ``graft evaluate``."""

    max_eval_samples: int | None = setting(None, "maximum number of rows, sampled with the same mix of classes", gt=0)
    adapter: str | None = setting(None, "adapter to evaluate, in a bundle with several (default: all)")
    output_path: Path | None = setting(
        None,
        "folder for evaluation.json, predictions.jsonl, and report.html (default: the run folder)",
        "output_dir",
        "o",
    )
