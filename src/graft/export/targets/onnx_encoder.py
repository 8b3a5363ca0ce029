"""The target ``onnx-encoder``: classifiers, taggers and embedding models as plain ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.config import ExportSettings, Settings
from graft.errors import InputError
from graft.export.target import Built

if TYPE_CHECKING:
    from graft.export.judged import Judged
    from graft.export.source import ExportSource
    from graft.inference.predictor import Predictor
    from graft.progress import Reporter


class OnnxEncoder:
    """Merges the adapter, and exports by ``torch.onnx``; int8 is onnxruntime's dynamic quantization."""

    name = "onnx-encoder"
    title = "ONNX for onnxruntime"
    help = "classifiers, taggers and embedding models, with the adapter merged"
    format = "onnx"
    precisions = ("float32", "int8")
    Config = Settings

    def can(self, source: ExportSource, options: ExportSettings, config: Settings) -> InputError | None:
        """The task, the adapter's type, and the rows to compare on."""
        from graft.export.merge import check_mergeable
        from graft.export.onnx.execution_providers import choose_provider
        from graft.export.parity_rows import check_parity_rows

        if self.name not in source.task.export_targets:
            return InputError(f"ONNX export does not support {source.task.name} models", where=source.name)
        try:
            choose_provider(options.device, options.provider)
            if source.adapter is not None:
                check_mergeable(source.opened)
            check_parity_rows(source, options.data_files, options.skip_parity)
        except InputError as error:
            return error
        return None

    def build(
        self, source: ExportSource, options: ExportSettings, config: Settings, folder: Path, reporter: Reporter
    ) -> Built:
        """model.onnx, the tokenizer, and the labels in config.json."""
        from graft.export.judged import judged
        from graft.export.merge import load_judged, merge_entry, merge_judged
        from graft.export.onnx.encoder_graph import HIDDEN, LOGITS, export, quantize_dynamic_int8
        from graft.export.onnx.encoder_readme import write_readme
        from graft.export.onnx.genai_folder import size_mb, weights_sha256
        from graft.export.onnx.model_builder import versions
        from graft.export.parity_rows import load_parity_rows

        wanted, precision = not options.skip_parity, str(options.precision)
        rows = load_parity_rows(source, options.data_files, options.parity_rows) if wanted else None
        reporter.note(f"loading {source.name}")
        model = load_judged(source)
        own = options.data_files is None
        reference = judged(source, model, rows, reporter, own=own) if rows is not None else None
        model = merge_judged(model, source, None)
        reporter.note(f"exporting in {precision}")
        export(model, folder, LOGITS if source.task.head_suffix else HIDDEN)
        if precision == "int8":
            quantize_dynamic_int8(folder)
        source.tokenizer.save_pretrained(folder)
        (folder / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")
        parity: Any = "skipped (--skip_parity)"
        if reference is not None:
            parity = compare(reference, source, folder, precision, options.max_accuracy_drop, reporter)
        entries = {
            "task": source.task.name,
            "sha256": weights_sha256(folder),
            "versions": versions(),
            **merge_entry(model),
        }
        chats = source.task.chat != "none"
        run_command = "graft chat {folder} --prompt TEXT" if chats else "graft evaluate {folder} --data_files FILE"
        built = Built(parity, size_mb(folder), entries, run_command=run_command)
        write_readme(folder, source, precision, built.reason)
        return built

    def open(self, folder: Path, adapter: str | None = None, trusted: bool = False) -> Predictor:
        """The bundle in onnxruntime, on its own task."""
        from graft.export.bundle_task import bundle_task
        from graft.export.onnx.encoder_graph import OnnxEncoder as Graph

        task, encoding = bundle_task(folder, trusted)
        return task.predictor("onnx", Graph(folder), encoding)


def compare(
    judged: Judged, source: ExportSource, folder: Path, precision: str, allowed: float | None, reporter: Reporter
) -> dict[str, Any]:
    """Both models on the same rows, and the largest difference of their outputs."""
    import torch
    from tokenizers import Tokenizer

    from graft.export.onnx.encoder_graph import OnnxEncoder as Graph
    from graft.export.parity import exact_verdict, numbers_verdict, prompts_verdict

    graph = Graph(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(source.encoding.max_length)
    outputs = []
    for ids in judged.tokens:
        inputs = torch.tensor([list(ids)])
        found = graph(inputs, torch.ones_like(inputs))
        outputs.append(next(iter(vars(found).values()))[0])
    exported = source.task.predictor("onnx", graph, source.encoding)
    document = {
        "token_ids_identical": judged.same_tokens([tokenizer.encode(text).ids for text in judged.texts]),
        "greatest_logit_difference": judged.difference(outputs),
        **judged.verdict(source, exported, allowed, reporter),
    }
    exact = precision == "float32"
    return prompts_verdict(exact_verdict(document, judged.greatest) if exact else numbers_verdict(document))


ONNX_ENCODER = OnnxEncoder()
