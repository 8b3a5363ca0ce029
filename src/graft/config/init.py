"""Settings of ``graft init``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from graft.config.base import setting
from graft.config.common import DataSettings, HubSettings


class InitSettings(DataSettings, HubSettings):
    """All settings of ``graft init``."""

    model_name_or_path: str | None = setting(
        None,
        "model: a name of `graft models`, a folder, a .gguf file, or a Hub ID (default: by --goal)",
        "model",
    )
    task: str | None = setting(None, "the task (default: inferred from the data and the model)")
    goal: Literal["time", "size", "quality"] = setting(
        "time", "what matters most: a short training, a small model, or the scores; it decides which model is proposed"
    )
    deploy: Literal["no", "onnx", "gguf", "hf"] = setting(
        "no", "the format that the last pass exports to: onnx, gguf, or hf (a model folder)", "export"
    )
    output_path: Path | None = setting(None, "the file to write (default: workflow.yaml)", "output", "o")
    overwrite: bool = setting(False, "replace the file")
    seed: int = setting(42, "random seed of what checks sample", ge=0, lt=2**32)
