"""Whether a bundle, asked in a fresh process, answers as the PyTorch model does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from graft.data.example import AnswerExample, Example, expect
from graft.errors import GraftError
from graft.export.onnx.predictor import OnnxPredictor
from graft.export.onnx.worker import OnnxWorker
from graft.runs.metric_info import MetricInfo

ROWS_ANSWERED = 64
ROWS_OF_LOGITS = 8
LARGEST_DROP = 0.02
SIGNIFICANT = 0.05

Share = tuple[int, int]


@dataclass(frozen=True)
class Reference:
    """What PyTorch makes of ``examples``: answers as tokens, and logits after the first few prompts."""

    examples: Sequence[Example]
    prompts: Sequence[Sequence[int]]
    texts: Sequence[str]
    answers: Sequence[Sequence[int]]
    logits: Sequence[Sequence[float]]
    max_new_tokens: int


def compare(
    reference: Reference,
    worker: OnnxWorker,
    predictor: OnnxPredictor,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Counts of what is the same, as plain values for the manifest."""
    texts, tokens = _as_read(reference, worker)
    answered = worker.ask("answer", progress, prompts=list(reference.prompts), max_new_tokens=reference.max_new_tokens)
    ours = [ids for ids, _ in answered]
    read = predictor.runtime.generate(reference.prompts, reference.max_new_tokens, predictor.ends)
    ended = [end for _, end in answered]
    limit = reference.max_new_tokens
    logits = worker.ask("logits", prompts=[list(p) for p in reference.prompts[:ROWS_OF_LOGITS]])
    return {
        "process": "fresh, onnxruntime-genai",
        "rows_answered": len(reference.examples),
        "template_identical": _share(texts, reference.texts),
        "token_ids_identical": _share(tokens, reference.prompts),
        "ends_identical": _share(ended, [len(answer) < limit for answer in reference.answers]),
        "answers_equal": _share(ours, reference.answers),
        "answers_equal_in_batches": _share(read, ours),
        "greatest_logit_difference": _greatest(logits, reference.logits),
    }


def _as_read(reference: Reference, worker: OnnxWorker) -> tuple[list[str | None], list[list[int]]]:
    """Texts and tokens of the prompts as onnxruntime-genai makes them; None where its template engine gives up."""
    texts: list[str | None] = []
    for row, text in zip(reference.examples, reference.texts, strict=True):
        example = expect(row, AnswerExample)
        if isinstance(example.prompt, str) or example.tools:
            texts.append(text)
            continue
        try:
            texts.append(worker.ask("read", conversations=[[dict(message) for message in example.prompt]])[0][0])
        except GraftError:
            texts.append(None)
    found = worker.ask("encode", texts=[text or given for text, given in zip(texts, reference.texts, strict=True)])
    return texts, [list(ids) for ids in found]


def _share(ours: Sequence[Any], theirs: Sequence[Any]) -> Share:
    def plain(value: Any) -> Any:
        return list(value) if isinstance(value, (list, tuple)) else value

    return sum(plain(a) == plain(b) for a, b in zip(ours, theirs, strict=True)), len(ours)


def _greatest(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> float:
    """Where the two vocabularies' padding differs in length, the shorter counts."""
    pairs = zip(ours, theirs, strict=True)
    return round(max((max(abs(a - b) for a, b in zip(x, y, strict=False)) for x, y in pairs), default=0.0), 5)


def verdict(
    metric: MetricInfo, before: float, after: float, p: float, allowed: float | None
) -> tuple[bool, float, str]:
    """Whether the metric may be what it became, by how much it fell, and why in words.

    The loss is relative to the metric's scale; without a scale, as for perplexity, to the value in PyTorch.
    """
    fall = after - before if metric.lower_is_better else before - after
    drop = fall / (max(before, 1e-9) if metric.scale is None else metric.scale)
    said = f"{metric.name} {before:.3f} in PyTorch, {after:.3f} in the bundle"
    if allowed is not None:
        return drop <= allowed + 1e-9, drop, f"{said}: a fall of {drop:+.3f}, {allowed:.3f} are allowed"
    if drop > LARGEST_DROP:
        return False, drop, f"{said}: more than {LARGEST_DROP} lost"
    if drop > 0 and p < SIGNIFICANT:
        return False, drop, f"{said}: significantly worse (p = {p:.3f})"
    return True, drop, said
