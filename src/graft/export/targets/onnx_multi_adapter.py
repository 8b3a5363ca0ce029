"""The target ``onnx-multi-adapter``: one base for onnxruntime-genai, with several hot-swappable adapters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graft.config import GenerateAdapterSettings, Settings
from graft.errors import InputError, Problems
from graft.export.target import Built

if TYPE_CHECKING:
    from graft.export.source import ExportSource
    from graft.inference.predictor import Predictor
    from graft.progress import Reporter


class OnnxMultiAdapter:
    """Builds the base with a slot for each LoRA matrix, and writes an adapter file each."""

    name = "onnx-multi-adapter"
    title = "ONNX for onnxruntime-genai, several adapters"
    help = "one base with several hot-swappable adapters (graft generate-adapter)"
    format = "onnx"
    precisions = ("int8", "int4", "float32")
    Config = Settings

    def can(self, source: ExportSource, options: GenerateAdapterSettings, config: Settings) -> InputError | None:
        """The attention heads, and that each adapter is LoRA trained on this base."""
        from graft.export.onnx.execution_providers import check_head_size
        from graft.export.onnx.lora_adapter import open_adapters
        from graft.export.onnx.multi_adapter_export import check_against_base

        if not source.adapters:
            remedy = "graft generate-adapter --base_model_path MODEL --adapter_paths A,B -o OUT"
            return InputError("no adapters are given", where=source.name, remedy=remedy)
        problems = Problems()
        check_head_size(source.base, problems)
        with problems.collecting():
            check_against_base(source.base, open_adapters(source.adapters, source.base))
        return InputError(*problems.found) if problems else None

    def build(
        self,
        source: ExportSource,
        options: GenerateAdapterSettings,
        config: Settings,
        folder: Path,
        reporter: Reporter,
    ) -> Built:
        """The base with slots, and a file for each adapter."""
        from graft.export.onnx.multi_adapter_export import MultiAdapterExport

        return MultiAdapterExport(source, options, folder, reporter).run()

    def open(self, folder: Path, adapter: str | None = None) -> Predictor:
        """The bundle in onnxruntime, with ``adapter`` active; ``base`` is the base without one."""
        from graft.export.onnx.predictor import OnnxPredictor

        return OnnxPredictor.open(folder, adapter)


ONNX_MULTI_ADAPTER = OnnxMultiAdapter()
