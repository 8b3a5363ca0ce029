"""The target ``onnx-genai``: generative models for onnxruntime-genai.

The candidates that the options allow are built and compared with the PyTorch model, and the best of them ships.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graft.config import ExportSettings, OnnxGenaiConfig, Settings
from graft.errors import InputError, Problems
from graft.export.target import Built

if TYPE_CHECKING:
    from graft.export.source import ExportSource
    from graft.inference.predictor import Predictor
    from graft.progress import Reporter


class OnnxGenai:
    """Builds candidates, compares each with the PyTorch model, and keeps the best."""

    name = "onnx-genai"
    title = "ONNX for onnxruntime-genai"
    help = "generative models, with the adapter merged or hot-swappable"
    format = "onnx"
    precisions = ("int4", "int8", "float16", "float32", "auto")
    Config: type[Settings] = OnnxGenaiConfig

    def can(self, source: ExportSource, options: ExportSettings, config: OnnxGenaiConfig) -> InputError | None:
        """The provider, the attention heads, the adapter's type and placement, and the rows to compare on."""
        from graft.export.adapter_placement import placements
        from graft.export.merge import check_mergeable
        from graft.export.onnx.execution_providers import check_buildable, check_head_size, choose_provider
        from graft.export.parity_rows import check_parity_rows

        problems = Problems()
        if self.name not in source.task.export_targets:
            return InputError(
                f"the export to {self.title} does not support {source.task.name} models", where=source.name
            )
        with problems.collecting():
            provider = choose_provider(options.device, options.provider)
            check_buildable(provider, str(options.precision), problems)
        check_head_size(source.base, problems)
        if source.adapter is not None:
            with problems.collecting():
                check_mergeable(source.opened)
        with problems.collecting():
            placements(config, str(options.precision), source.opened)
        with problems.collecting():
            check_parity_rows(source, options.data_files, options.skip_parity)
        return InputError(*problems.found) if problems else None

    def build(
        self, source: ExportSource, options: ExportSettings, config: OnnxGenaiConfig, folder: Path, reporter: Reporter
    ) -> Built:
        """Build and compare candidates; the chosen one's files are ``folder``'s."""
        from graft.export.onnx.genai_export import GenaiExport

        return GenaiExport(source, options, config, folder, reporter).run()

    def open(self, folder: Path, adapter: str | None = None) -> Predictor:
        """The bundle in onnxruntime."""
        from graft.export.onnx.predictor import OnnxPredictor

        return OnnxPredictor.open(folder, adapter)


ONNX_GENAI = OnnxGenai()
