"""Settings of ``graft generate-adapter``."""

from __future__ import annotations

from pathlib import Path

from graft.config.base import setting
from graft.config.common import HubSettings
from graft.config.export import BundleSettings
from graft.config.types import NamedPaths


class GenerateAdapterSettings(BundleSettings, HubSettings):
    """Settings of ``graft generate-adapter`` and the target ``onnx-multi-adapter``."""

    output_path: Path | None = setting(None, "output folder", "output_dir", "o")
    base_model_path: str | None = setting(
        None, "base model of all adapters: a folder or a name", "base_model_name", "model_name_or_path"
    )
    adapter_paths: NamedPaths = setting(
        (), "run folders or PEFT folders, as A,B or NAME=A,NAME=B", "adapters", "adapter_path"
    )
    add: NamedPaths = setting((), "adapters to add to an existing bundle, as NAME=PATH")
    chat_template: str | None = setting(
        None, "Jinja chat template, or a file that contains one; replaces the base's template"
    )
    parity_rows: int = setting(200, "maximum number of rows of each adapter to compare on", ge=1)
