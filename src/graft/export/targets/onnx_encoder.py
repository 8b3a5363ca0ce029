"""The target ``onnx-encoder``: classifiers and taggers as plain ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from graft.config import ExportSettings, Settings
from graft.errors import InputError
from graft.export.target import Built

if TYPE_CHECKING:
    from graft.evaluation.rows import EvaluationRows
    from graft.export.source import ExportSource
    from graft.inference.cached import CachedPredictor
    from graft.inference.predictor import Predictor
    from graft.progress import Reporter

SAMPLE_TEXTS = ("a", "The way to the sea is long, and no one knows it.")

LINES = """\
import json

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

session = onnxruntime.InferenceSession("model.onnx")
tokenizer = Tokenizer.from_file("tokenizer.json")
names = json.load(open("config.json"))["id2label"]
ids = np.array([tokenizer.encode("the text to read").ids])
logits = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
print([names[str(index)] for index in np.atleast_1d(logits[0].argmax(-1))])
"""


class OnnxEncoder:
    """Merges the adapter, and exports by ``torch.onnx``; int8 is onnxruntime's dynamic quantization."""

    name = "onnx-encoder"
    title = "ONNX for onnxruntime"
    help = "classifiers and taggers, with the adapter merged"
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
        from graft.export.merge import load_judged, merge_entry, merge_judged
        from graft.export.onnx.encoder_graph import export, quantize_dynamic_int8
        from graft.export.onnx.genai_folder import size_mb, weights_sha256
        from graft.export.onnx.model_builder import versions

        reporter.note(f"loading {source.name}")
        model = load_judged(source)
        judged = None if options.skip_parity else _Judged.of(model, source, options, reporter)
        model = merge_judged(model, source, None)
        reporter.note(f"exporting in {options.precision}")
        export(model, folder)
        if options.precision == "int8":
            quantize_dynamic_int8(folder)
        source.tokenizer.save_pretrained(folder)
        (folder / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")
        parity = "skipped (--skip_parity)" if judged is None else _parity(source, options, judged, folder, reporter)
        entries = {
            "task": source.task.name,
            "sha256": weights_sha256(folder),
            "versions": versions(),
            **merge_entry(model),
        }
        built = Built(parity, size_mb(folder), entries, run_command="graft chat {folder} --prompt TEXT")
        _write_readme(folder, f"{source.name}, {source.task.name}, {options.precision} ONNX", built.reason)
        return built

    def open(self, folder: Path, adapter: str | None = None) -> Predictor:
        """The bundle in onnxruntime, on its own task."""
        import json

        from transformers import AutoTokenizer

        from graft.export.onnx.encoder_graph import OnnxEncoder as Graph
        from graft.runs.manifest import read_bundle
        from graft.tasks.encoding import DEFAULT_MAX_LENGTH, Encoding
        from graft.tasks.label_space import LabelSpace
        from graft.tasks.select import get_task

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        longest = min(DEFAULT_MAX_LENGTH, int(tokenizer.model_max_length))
        encoding = Encoding(tokenizer, LabelSpace.from_config(config), longest)
        return get_task(read_bundle(folder).task or "").predictor("onnx", Graph(folder), encoding)


class _Judged(NamedTuple):
    """What the model that was judged, which is not merged, does.

    Attributes:
        rows: The rows to compare on.
        predictor: The model's answers to them, kept.
        logits: The model's logits for each of ``SAMPLE_TEXTS``.
    """

    rows: EvaluationRows
    predictor: CachedPredictor
    logits: list[Any]

    @classmethod
    def of(cls, model: Any, source: ExportSource, options: ExportSettings, reporter: Reporter) -> _Judged:
        """Ask ``model`` all that the exported model is asked."""
        import torch

        from graft.evaluation.compare import evaluate
        from graft.export.parity_rows import load_parity_rows
        from graft.inference.cached import CachedPredictor

        task, encoding = source.task, source.encoding
        rows = load_parity_rows(source, options.data_files, options.parity_rows)
        predictor = CachedPredictor(task.predictor("tuned", model, encoding))
        evaluate([predictor], rows, metrics=task.default_metrics(encoding.label_space), reporter=reporter)
        predictor.generate(rows.examples, 1)
        predictor.release_model()
        with torch.no_grad():
            logits = [model(ids, attention_mask=mask).logits for ids, mask in _inputs(encoding.tokenizer)]
        return cls(rows, predictor, logits)


def _parity(
    source: ExportSource, options: ExportSettings, judged: _Judged, folder: Path, reporter: Reporter
) -> dict[str, Any]:
    """Both models on the same rows, and the largest difference of their logits."""
    from graft.evaluation.compare import evaluate
    from graft.export.onnx.encoder_graph import OnnxEncoder as Graph
    from graft.export.parity import exact_verdict, gate

    task, encoding, rows = source.task, source.encoding, judged.rows
    exported = Graph(folder)
    predictors = [judged.predictor, task.predictor("onnx", exported, encoding)]
    result = evaluate(
        predictors,
        rows,
        metrics=task.default_metrics(encoding.label_space),
        reporter=reporter,
    )
    own, exported_answers = (predictor.generate(rows.examples, 1) for predictor in predictors)
    same = sum(one == other for one, other in zip(own, exported_answers, strict=True))
    pairs = zip(judged.logits, _inputs(encoding.tokenizer), strict=True)
    difference = max(float((wanted - exported(ids, mask).logits).abs().max()) for wanted, (ids, mask) in pairs)
    found = {
        "rows": len(rows.examples),
        "answers_equal": [same, len(rows.examples)],
        "greatest_logit_difference": round(difference, 6),
        **gate(result.document, options.max_accuracy_drop),
    }
    greatest = max(float(logits.abs().max()) for logits in judged.logits)
    return exact_verdict(found, greatest) if options.precision == "float32" else found


def _inputs(tokenizer: Any) -> list[tuple[Any, Any]]:
    """Token ids and attention mask, each (1, tokens), of each of ``SAMPLE_TEXTS``."""
    inputs = [tokenizer(text, return_tensors="pt") for text in SAMPLE_TEXTS]
    return [(one["input_ids"], one["attention_mask"]) for one in inputs]


def _write_readme(folder: Path, title: str, reason: str) -> None:
    how = "`pip install onnxruntime tokenizers`, then in this folder:"
    text = f"# {title}\n\ncompared with PyTorch: {reason}\n\n## Run it\n\n{how}\n\n```python\n{LINES}```\n"
    (folder / "README.md").write_text(text, encoding="utf-8")


ONNX_ENCODER = OnnxEncoder()
