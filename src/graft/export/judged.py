"""The model that was judged, asked before it is merged for all that an export is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from graft.data.chat_template import Renderer
from graft.data.example import AnswerExample, Example, PairExample
from graft.data.tokenize import prompt_token_ids
from graft.engine import generate
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.predict import default_max_new_tokens
from graft.evaluation.rows import EvaluationRows
from graft.export.cached_predictions import criteria_of_run
from graft.export.hf import plain_process
from graft.export.parity import gate
from graft.export.parity_rows import ROWS_ANSWERED, ROWS_OF_LOGITS
from graft.export.source import ExportSource
from graft.inference.cached import CachedPredictor
from graft.inference.predictor import Predictor
from graft.progress import Reporter
from graft.tasks.batching import tokenize_texts

SAME_NUMBER = 1e-4


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
        criteria: The metrics, and how they are computed.
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
    criteria: Criteria = field(default_factory=Criteria)

    def verdict(
        self, source: ExportSource, exported: Predictor, allowed: float | None, reporter: Reporter
    ) -> dict[str, Any]:
        """Compare the first metric on all rows, and of a head the answers.

        Args:
            source: The exported model.
            exported: What it became, as a predictor.
            allowed: The maximum drop, as in ``graft.export.parity.gate``.
            reporter: Shows the progress.

        Returns:
            ``rows``, of a head ``answers_equal``, and what ``gate`` says.
        """
        examples = self.rows.examples
        found: dict[str, Any] = {"rows": len(examples)}
        result = evaluate([self.predictor, exported], self.rows, self.criteria, reporter)
        if not self.answers:
            pairs = zip(self.predictor.generate(examples, 1), exported.generate(examples, 1), strict=True)
            found["answers_equal"] = [sum(alike(one, other) for one, other in pairs), len(examples)]
        return {**found, **gate(result.document, allowed)}

    @property
    def greatest(self) -> float:
        """The greatest output; not a number where one is none."""
        return _greatest(self.outputs)

    def difference(self, outputs: Sequence[torch.Tensor]) -> float | None:
        """The greatest difference of ``outputs``, which are those of the exported model for the same tokens.

        None where one of them is not a number.
        """
        found = _greatest([one - other for one, other in zip(self.outputs, outputs, strict=True)])
        return round(found, 7) if math.isfinite(found) else None

    def same_tokens(self, tokens: Sequence[Sequence[int]]) -> list[int]:
        """How many of ``tokens`` are those of the judged model: [same, of]."""
        pairs = zip(self.tokens, tokens, strict=True)
        return [sum(list(one) == list(other) for one, other in pairs), len(self.tokens)]


def judged(source: ExportSource, model: Any, rows: EvaluationRows, reporter: Reporter, *, own: bool = False) -> Judged:
    """Ask the model that was judged, before it is merged, for all that a folder is compared with.

    Args:
        source: The model to export.
        model: The model in PyTorch, its adapter not merged.
        rows: The rows to compare on.
        reporter: Shows the progress.
        own: Whether they are the held-out rows of the run, which are judged as its evaluation judged them.
    """
    task, encoding = source.task, source.encoding
    predictor = CachedPredictor(task.predictor("tuned", model, encoding))
    writes = task.objective(encoding.label_space) is None
    asked = _rendered(source, rows.examples) if writes else _texts(source, rows.examples)
    conversations, texts, tokens = asked
    default = task.default_metrics(encoding.label_space)
    criteria = criteria_of_run(source.run if own else None, rows, source.base.trust_remote_code, default)
    limit = criteria.max_new_tokens or default_max_new_tokens(rows.written, source.tokenizer)
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
    evaluate([predictor], rows, criteria, reporter)
    if not answers:
        predictor.generate(rows.examples, 1)
    predictor.release_model()
    longest = None if writes else encoding.max_length
    return Judged(predictor, rows, conversations, texts, tokens, outputs, answers, longest, limit, criteria)


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


def _greatest(tensors: Sequence[torch.Tensor]) -> float:
    """The greatest magnitude; not a number where one is none, which Python's ``max`` would pass over."""
    greatest = torch.tensor([float(one.abs().max()) for one in tensors] or [0.0], dtype=torch.float64)
    return float(greatest.max())


def alike(one: str, other: str) -> bool:
    """Whether two answers are the same: as text, or as numbers but for rounding."""
    try:
        return one == other or abs(float(one) - float(other)) <= SAME_NUMBER
    except ValueError:
        return False
