"""Compare a model folder, opened by plain transformers in a fresh process, with the model that was judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from graft.data.chat_template import Renderer
from graft.data.example import AnswerExample, Example, PairExample
from graft.data.tokenize import prompt_token_ids
from graft.engine import generate
from graft.errors import GraftError
from graft.evaluation.compare import evaluate
from graft.evaluation.predict import default_max_new_tokens
from graft.evaluation.rows import EvaluationRows
from graft.export.hf import plain_process
from graft.export.parity import gate
from graft.export.source import ExportSource
from graft.inference.cached import CachedPredictor
from graft.inference.predictor import Predictor
from graft.progress import Reporter
from graft.tasks.batching import tokenize_texts

ROWS_ANSWERED = 64
ROWS_OF_LOGITS = 8
FLOAT_DIFFERENCE = 1e-4
"""The largest difference of outputs in float32, as a share of the largest output where that is more than 1: rounding of
a product that is computed in another order stays below it, and a wrong weight does not."""


@dataclass(frozen=True)
class Judged:
    """What the judged model does with the first rows.

    Attributes:
        predictor: The model as a predictor that keeps its answers.
        rows: All rows to compare on.
        conversations: The prompts as messages with tools; None for a text.
        texts: The prompts as the model reads them.
        tokens: Their tokens.
        outputs: What the model computes of the first of them, as ``plain_process.output``.
        answers: What it writes after the first of them, as ``plain_process.answer``; empty for a head.
        max_length: The tokens after which a text is cut; None for rendered prompts.
        max_new_tokens: The limit of an answer.
    """

    predictor: CachedPredictor
    rows: EvaluationRows
    conversations: Sequence[Any]
    texts: Sequence[str]
    tokens: Sequence[Sequence[int]]
    outputs: Sequence[torch.Tensor]
    answers: Sequence[dict[str, Any]]
    max_length: int | None
    max_new_tokens: int

    def compare(
        self,
        source: ExportSource,
        folder: Path,
        exported: Predictor,
        precision: str,
        allowed: float | None,
        reporter: Reporter,
    ) -> dict[str, Any]:
        """Compare the model in ``folder``.

        Args:
            source: The exported model.
            folder: The model folder.
            exported: The same as a predictor.
            precision: The number format of its weights; of ``float32`` the outputs have to agree.
            allowed: The maximum drop of the first metric, as in ``graft.export.parity.gate``.
            reporter: Shows the progress.

        Returns:
            The parity document for the manifest.

        Raises:
            GraftError: If transformers does not load the folder.
        """
        reporter.note("opening it with plain transformers in a process of its own")
        found, outputs = _ask(folder, source, self)
        same = _same(self, found, outputs)
        metrics = source.task.default_metrics(source.encoding.label_space)
        result = evaluate([self.predictor, exported], self.rows, metrics=metrics, reporter=reporter)
        verdict = gate(result.document, allowed)
        if not self.answers:
            pairs = zip(*(one.generate(self.rows.examples, 1) for one in (self.predictor, exported)), strict=True)
            same["answers_equal"] = [sum(_alike(a, b) for a, b in pairs), len(self.rows.examples)]
        document = {"rows": len(self.rows.examples), "process": "fresh, transformers", **same, **verdict}
        return _judge_outputs(document, self.outputs) if precision == "float32" else document


def judged(source: ExportSource, model: Any, rows: EvaluationRows, reporter: Reporter) -> Judged:
    """Ask the model that was judged, before it is merged, for all that a folder is compared with.

    Args:
        source: The model to export.
        model: The model in PyTorch, its adapter not merged.
        rows: The rows to compare on.
        reporter: Shows the progress.
    """
    task, encoding = source.task, source.encoding
    predictor = CachedPredictor(task.predictor("tuned", model, encoding))
    writes = task.objective(encoding.label_space) is None
    asked = _rendered(source, rows.examples) if writes else _texts(source, rows.examples)
    conversations, texts, tokens = asked
    limit = default_max_new_tokens(rows.written, source.tokenizer)
    answers: list[dict[str, Any]] = []
    if writes:
        written = generate(
            model,
            tokens,
            limit,
            task.predictor("", model, encoding).ends(),  # type: ignore[attr-defined]
            source.tokenizer.pad_token_id,
            lambda done, total: reporter.advance("PyTorch: answering", done, total),
        )
        answers = [{"tokens": ids, "ended": len(ids) < limit} for ids in written]
    elif model.config.is_encoder_decoder:
        options = {"do_sample": False, "num_beams": 1}
        answers = [plain_process.answer(model, ids, limit, **options) for ids in tokens]
    count = ROWS_OF_LOGITS if answers else len(tokens)
    outputs = [plain_process.output(model, ids) for ids in tokens[:count]]
    evaluate([predictor], rows, metrics=task.default_metrics(encoding.label_space), reporter=reporter)
    if not answers:
        predictor.generate(rows.examples, 1)
    predictor.release_model()
    longest = None if writes else encoding.max_length
    return Judged(predictor, rows, conversations, texts, tokens, outputs, answers, longest, limit)


def _rendered(source: ExportSource, examples: Sequence[Example]) -> tuple[list[Any], list[str], list[list[int]]]:
    """The first prompts: as messages, as the text that graft renders, and as tokens."""
    renderer = Renderer(source.tokenizer)
    chosen = [example for example in examples[:ROWS_ANSWERED] if isinstance(example, AnswerExample)]
    conversations = [
        None
        if isinstance(example.prompt, str) or renderer.template is None
        else {
            "messages": [dict(message) for message in example.prompt],
            "tools": list(example.tools) if example.tools else None,
            "kwargs": dict(example.template_kwargs or {}),
        }
        for example in chosen
    ]
    prompts = [prompt_token_ids(example, renderer) for example in chosen]
    return conversations, [renderer.prompt(example) for example in chosen], prompts


def _texts(source: ExportSource, examples: Sequence[Example]) -> tuple[list[Any], list[str], list[list[int]]]:
    """The first texts, two of each pair, and their tokens."""
    texts = []
    for example in examples[:ROWS_ANSWERED]:
        texts += [example.first, example.second] if isinstance(example, PairExample) else [example.input_text]
    found = tokenize_texts(source.tokenizer, texts, source.encoding.max_length)
    return [None] * len(texts), texts, [one.ids for one in found]


def _ask(folder: Path, source: ExportSource, judged: Judged) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """What plain transformers finds in ``folder``: texts, tokens and answers, and its outputs."""
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        request = {
            "folder": str(folder.absolute()),
            "auto_class": source.task.auto_class,
            "trust_remote_code": source.base.trust_remote_code,
            "conversations": judged.conversations,
            "texts": judged.texts,
            "tokens": judged.tokens,
            "max_length": judged.max_length,
            "logits": len(judged.outputs),
            "answers": len(judged.answers),
            "max_new_tokens": judged.max_new_tokens,
            "outputs": str(work / "outputs.safetensors"),
            "result": str(work / "result.json"),
        }
        file = work / "request.json"
        file.write_text(json.dumps(request), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, plain_process.__file__, str(file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
            check=False,
        )
        if done.returncode:
            said = " ".join(done.stderr.split())[-400:]
            raise GraftError(f"transformers cannot open the exported folder: {said}", where=str(folder))
        found = json.loads((work / "result.json").read_text(encoding="utf-8"))
        outputs = load_file(work / "outputs.safetensors")
    return found, [outputs[str(number)] for number in range(len(outputs))]


def _same(judged: Judged, found: dict[str, Any], outputs: Sequence[torch.Tensor]) -> dict[str, Any]:
    """How much is the same, as [same, of] each."""
    pairs = [(one["tokens"], other["tokens"]) for one, other in zip(judged.answers, found["answers"], strict=True)]
    ends = [(one["ended"], other["ended"]) for one, other in zip(judged.answers, found["answers"], strict=True)]
    differences = [float((a - b).abs().max()) for a, b in zip(judged.outputs, outputs, strict=True)]
    templates = [text for text, asked in zip(found["texts"], judged.conversations, strict=True) if asked is not None]
    wanted = [text for text, asked in zip(judged.texts, judged.conversations, strict=True) if asked is not None]
    result: dict[str, Any] = {"computed_in": found["dtype"]}
    if templates:
        result["template_identical"] = [sum(a == b for a, b in zip(templates, wanted, strict=True)), len(wanted)]
    tokens = zip(found["tokens"], judged.tokens, strict=True)
    result["token_ids_identical"] = [sum(a == list(b) for a, b in tokens), len(judged.tokens)]
    if pairs:
        result["ends_identical"] = [sum(a == b for a, b in ends), len(ends)]
        result["answers_equal"] = [sum(list(a) == list(b) for a, b in pairs), len(pairs)]
    result["greatest_logit_difference"] = round(max(differences, default=0.0), 7)
    return result


def _alike(one: str, other: str) -> bool:
    """Whether two answers are the same: as text, or as numbers but for rounding."""
    try:
        return one == other or abs(float(one) - float(other)) <= FLOAT_DIFFERENCE
    except ValueError:
        return False


def _judge_outputs(document: dict[str, Any], outputs: Sequence[torch.Tensor]) -> dict[str, Any]:
    """``document``, not passed if the outputs in float32 differ by more than rounding."""
    scale = max([1.0, *(float(one.abs().max()) for one in outputs)])
    difference = document["greatest_logit_difference"]
    if difference <= FLOAT_DIFFERENCE * scale:
        return document
    reason = f"logits differ by {difference:g} in float32 (rounding: at most {FLOAT_DIFFERENCE * scale:.2g})"
    return {**document, "passed": False, "reason": reason}
