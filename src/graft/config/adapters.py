"""What ``graft generate-adapter`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from graft.config.base import setting
from graft.config.common import HubSettings
from graft.config.types import Listed


class GenerateAdapterSettings(HubSettings):
    """Everything ``graft generate-adapter`` takes."""

    base_model_path: str | None = setting(
        None, "the model under all the adapters: a folder, a name", "base_model_name", "model_name_or_path"
    )
    adapter_paths: Listed = setting(
        (), "run folders or PEFT folders, as a,b or NAME=a,NAME=b", "adapters", "adapter_path"
    )
    add: Listed = setting((), "with a bundle's folder: adapters to add to it, as NAME=PATH")
    output_path: Path | None = setting(None, "the folder to make", "output_dir", "o")
    precision: Literal["fp32", "int8", "int4"] = setting("int8", "of the base's weights; adapters stay in float32")
    max_accuracy_drop: float | None = setting(
        None, "the most an adapter's metric may lose against PyTorch (default: as for auto-opt)", ge=0, lt=1
    )
    chat_template: str | None = setting(None, "Jinja chat template, or a file with one, instead of the base's own")
    skip_parity: bool = setting(False, "don't compare the adapters with their PyTorch twins; the manifest says so")
    parity_rows: int = setting(200, "the most rows of each adapter to compare on", ge=1)
    overwrite: bool = setting(False, "replace the bundle that is in the output folder")
