"""The target ``gguf``: generative models for llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graft.config import ExportSettings, GgufConfig, Settings
from graft.errors import InputError, Problems
from graft.export.target import Built
from graft.runs.manifest import read_bundle
from graft.runs.paths import path_inside

if TYPE_CHECKING:
    from graft.export.source import ExportSource
    from graft.inference.predictor import Predictor
    from graft.progress import Reporter


class Gguf:
    """Merges the adapter, writes the file, and compares its answers in llama.cpp with the model's."""

    name = "gguf"
    title = "GGUF for llama.cpp"
    help = "generative models that llama.cpp computes as PyTorch does, with the adapter merged or hot-swappable"
    format = "gguf"
    precisions = ("int4", "int8", "float16", "float32")
    Config: type[Settings] = GgufConfig

    def can(self, source: ExportSource, options: ExportSettings, config: GgufConfig) -> InputError | None:
        """The task, the family, the tokenizer and the adapter's type."""
        from graft.export.gguf.writer import check_architecture
        from graft.export.llama_cpp.lora import check_unmerged
        from graft.export.merge import check_mergeable

        if self.name not in source.task.export_targets:
            return InputError(f"GGUF export does not support {source.task.name} models", where=source.name)
        problems = Problems()
        if options.provider is not None:
            problems.add(
                "--provider does not apply to GGUF: llama.cpp has no execution providers", "--provider", "omit it"
            )
        if config.rounding in {"rtn", "k_quant"}:
            problems.add(
                f"{config.rounding} is a rounding method of the ONNX model builder", "--rounding", "use gptq or range"
            )
        if options.device != "cpu":
            what = f"--device {options.device} does not apply to GGUF: one file is for all devices"
            problems.add(what, "--device", "omit it; llama.cpp has options for the device")
        if config.rounding == "gptq" and (reason := _why_not_gptq(source, options)):
            problems.add(f"gptq cannot be used: {reason}", "--rounding", "omit it, or use range")
        with problems.collecting():
            check_architecture(source.base.config, source.base.path / "tokenizer.json")
        with problems.collecting():
            if config.adapter == "hot-swappable":
                check_unmerged(source.opened)
            elif config.adapter == "auto" and source.adapter is None:
                what = "--adapter auto: the model has no adapter"
                problems.add(what, source.name, "omit it")
            elif source.adapter is not None:
                check_mergeable(source.opened)
        return InputError(*problems.found) if problems else None

    def build(
        self, source: ExportSource, options: ExportSettings, config: GgufConfig, folder: Path, reporter: Reporter
    ) -> Built:
        """The GGUF file and a README."""
        from graft.export.llama_cpp.gguf_export import GgufExport

        return GgufExport(source, options, config, folder, reporter).run()

    def open(self, folder: Path, adapter: str | None = None) -> Predictor:
        """The bundle in llama.cpp.

        Raises:
            MissingExtra: If llama.cpp is not installed.
            InputError: If the manifest names no file in the bundle, or llama.cpp does not load it, or
                there is no such adapter.
        """
        from graft.export.onnx.genai_folder import adapter_file
        from graft.inference.llama_cpp_predictor import LlamaCppPredictor

        return LlamaCppPredictor.open(_file_of(folder), adapter or "gguf", adapter_file(folder, adapter))


def _why_not_gptq(source: ExportSource, options: ExportSettings) -> str | None:
    """Why weights cannot be calibrated on training rows; None if they can be."""
    from graft.models.families import family_of

    if options.precision != "int4":
        return f"it rounds to int4, and not to {options.precision}"
    if not family_of(str(source.base.config.get("model_type"))).packed:
        return f"it does not compute {source.base.config.get('model_type')} models layer by layer"
    run = source.opened.run
    if run is None or not (run / "data" / "train.jsonl").is_file():
        return "it calibrates on a run's training rows, and there are none"
    return None


def _file_of(folder: Path) -> Path:
    return path_inside(read_bundle(folder).file or "", folder, "the GGUF file")


GGUF = Gguf()
