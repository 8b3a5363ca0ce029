"""``graft auto-opt`` for encoders with heads: plain ONNX, judged on the run's held-out rows."""

from __future__ import annotations

import warnings
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from graft._version import __version__
from graft.config import DataSettings, ExportSettings
from graft.errors import GateError, InputError
from graft.evaluation.compare import evaluate
from graft.export import bundle
from graft.export.onnx.encoder_graph import OnnxModel, export, quantize_dynamic_int8
from graft.export.onnx.model_builder import versions
from graft.export.parity import gate
from graft.hardware.machine import machine
from graft.methods.adapter_folder import load_adapter
from graft.models.open import Opened
from graft.progress import Reporter
from graft.runs.folder import RunFolder
from graft.tasks.base import Task
from graft.tasks.encoding import Encoding
from graft.tasks.evaluation_rows import load_evaluation_rows
from graft.tasks.load import load_for

TASKS = {"text-classification", "token-classification"}

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


def write(settings: ExportSettings, opened: Opened, task: Task, encoding: Encoding, reporter: Reporter) -> Path:
    """A folder with model.onnx, the tokenizer, the classes, a manifest and a card.

    Raises:
        InputError: when the precision is not possible, or there are no rows to compare on.
        GateError: when the exported model judges worse than allowed; its folder is there, marked failed.
    """
    precision = {"auto": "fp32", "int4": "fp32"}.get(settings.precision, settings.precision)
    if precision == "fp16" or ("precision" in settings.model_fields_set and settings.precision == "int4"):
        raise InputError(f"encoders are exported in fp32 and int8, not in {settings.precision}", where="precision")
    if settings.output_path is None and opened.run is None:
        raise InputError("no output folder is given", remedy="--output_path FOLDER")
    output = settings.output_path or Path(str(opened.run)) / f"onnx-{precision}"
    with bundle.staged(output, settings.overwrite) as folder:
        reporter.note(f"loading {opened.name}")
        model = load_for(task, encoding, opened.base, seed=0)
        if opened.adapter is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = load_adapter(model, opened.adapter).merge_and_unload()
        reporter.note(f"exporting in {precision}")
        export(model, folder)
        if precision == "int8":
            quantize_dynamic_int8(folder)
        encoding.tokenizer.save_pretrained(folder)
        (folder / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")
        parity = None if settings.skip_parity else _judged(settings, opened, task, encoding, model, folder, reporter)
        _write_bundle_files(folder, settings, opened, task, precision, parity)
    if parity is not None and not parity["passed"]:
        raise GateError(f"the exported model judges worse: {parity['why']}", where=str(output))
    return output


def _judged(
    settings: ExportSettings,
    opened: Opened,
    task: Task,
    encoding: Encoding,
    model: Any,
    folder: Path,
    reporter: Reporter,
) -> dict[str, Any]:
    run = RunFolder.open(opened.run) if opened.run else None
    rows = load_evaluation_rows(run, settings.data_files, DataSettings(), task, encoding.label_space)
    rows = rows.first(settings.parity_rows)
    examples = rows.examples
    exported = OnnxModel(folder)
    predictors = [task.predictor("tuned", model, encoding), task.predictor("onnx", exported, encoding)]
    result = evaluate(
        predictors,
        rows,
        metrics=task.default_metrics(encoding.label_space),
        reporter=reporter,
    )
    texts = ["a", "The way to the sea is long, and no one knows it."]
    inputs = [encoding.tokenizer(text, return_tensors="pt") for text in texts]
    fed = [(one["input_ids"], one["attention_mask"]) for one in inputs]
    with torch.no_grad():
        far = [float((model(i, attention_mask=m).logits - exported(i, m).logits).abs().max()) for i, m in fed]
    ours, theirs = (predictor.generate(examples, 1) for predictor in predictors)
    same = sum(one == other for one, other in zip(ours, theirs, strict=True))
    return {
        "rows": len(examples),
        "answers_equal": [same, len(examples)],
        "greatest_logit_difference": round(max(far), 6),
        **gate(result.document, settings.max_accuracy_drop),
    }


def _write_bundle_files(
    folder: Path, settings: ExportSettings, opened: Opened, task: Task, precision: str, parity: dict[str, Any] | None
) -> None:
    said = parity["why"] if parity else "not compared with PyTorch (--skip_parity)"
    text = f"# {opened.name}, {task.name}, {precision} ONNX\n\n{said}\n\n"
    how = "`pip install onnxruntime tokenizers`, then in this folder:"
    (folder / "README.md").write_text(f"{text}## Run it\n\n{how}\n\n```python\n{LINES}```\n", encoding="utf-8")
    bundle.write_manifest(
        folder,
        graft=__version__,
        command="auto-opt",
        kind="bundle",
        format="onnx-encoder",
        task=task.name,
        status="finished" if parity is None or parity["passed"] else "failed",
        finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        base={"name": opened.base.name, "sha256": opened.base.sha256, "licence": opened.base.license},
        run=str(opened.run) if opened.run else None,
        precision=precision,
        size_mb=bundle.size_mb(folder),
        parity=parity or said,
        machine=machine(),
        versions=versions(),
    )
