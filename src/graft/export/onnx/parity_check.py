"""Comparing a generative bundle, in a process of its own, with the PyTorch model that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from graft.data.chat_template import Renderer
from graft.data.example import AnswerExample, Example, expect
from graft.data.tokenize import prompt_token_ids
from graft.engine import generate
from graft.errors import GraftError
from graft.evaluation.compare import Evaluation, evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.predict import default_max_new_tokens
from graft.evaluation.rows import EvaluationRows
from graft.export.onnx.genai_folder import end_tokens
from graft.export.onnx.predictor import OnnxPredictor
from graft.export.onnx.worker import OnnxWorker
from graft.export.parity import exact_verdict, gate, numbers_verdict
from graft.export.parity_rows import ROWS_ANSWERED, ROWS_OF_LOGITS
from graft.inference.cached import CachedPredictor
from graft.inference.predictor import Predictor
from graft.progress import Reporter


@dataclass(frozen=True)
class ReferenceAnswers:
    """What the PyTorch model does with the first rows.

    Attributes:
        examples: The rows.
        prompts: Their prompts as tokens.
        texts: Their prompts as text.
        answers: The greedy answers as tokens.
        logits: The logits (vocabulary) after each of the first few prompts.
        max_new_tokens: The limit of an answer.
    """

    examples: Sequence[Example]
    prompts: Sequence[Sequence[int]]
    texts: Sequence[str]
    answers: Sequence[Sequence[int]]
    logits: Sequence[Sequence[float]]
    max_new_tokens: int

    @property
    def greatest_logit(self) -> float:
        """The greatest magnitude among ``logits``."""
        return max((abs(value) for logits in self.logits for value in logits), default=0.0)


@dataclass
class ParityCheck:
    """Compares bundles with one PyTorch model.

    Attributes:
        rows: The rows to compare on.
        tokenizer: The tokenizer used in training.
        predictors: The PyTorch models as predictors that keep their answers; the last one is the exported model, and
            before it can be its base.
        reference: The exported model's answers and logits.
        criteria: The metrics, and how they are computed.
        evaluations: The evaluation of each bundle that was compared next to ``predictors``, by name.
        normalize: What does not count in texts that are compared.
    """

    rows: EvaluationRows
    tokenizer: Any
    predictors: list[Predictor]
    reference: ReferenceAnswers
    criteria: Criteria = field(default_factory=Criteria)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)

    def compare(
        self,
        folder: Path,
        name: str,
        allowed: float | None,
        reporter: Reporter,
        adapter: str | None = None,
        *,
        exact: bool = False,
    ) -> dict[str, Any]:
        """Compare the bundle in ``folder``.

        Args:
            folder: The bundle.
            name: What the bundle is called in ``evaluations`` and in progress.
            allowed: The maximum drop of the first metric, as in ``graft.export.parity.gate``.
            reporter: Shows the progress.
            adapter: The bundle's adapter to activate.
            exact: Whether the bundle computes the same function, so that its logits may differ by rounding alone.

        Returns:
            The parity document for the manifest.
        """
        with OnnxWorker(folder, adapter) as worker:
            bundle = OnnxPredictor(name, worker, self.tokenizer, end_tokens(folder)).asked_as(folder, adapter)
            found = _same(self.reference, worker, bundle, reporter)
            cached = CachedPredictor(bundle)
            self.evaluations[name] = self._evaluate([*self.predictors, cached], reporter)
            pair = self._evaluate([self.predictors[-1], cached], reporter)
        found = _with_few_equal({"rows": len(self.rows.examples), **found, **gate(pair.document, allowed)})
        return exact_verdict(found, self.reference.greatest_logit) if exact else numbers_verdict(found)

    def _evaluate(self, predictors: Sequence[Predictor], reporter: Reporter) -> Evaluation:
        return evaluate(predictors, self.rows, self.criteria, reporter)


def _with_few_equal(parity: dict[str, Any]) -> dict[str, Any]:
    """``parity`` with a reason that says so where most answers are others than PyTorch's, whatever the metric."""
    same, of = parity["answers_equal"]
    if 2 * same >= of:
        return parity
    return {**parity, "reason": f"{parity['reason']}; only {same} of {of} answers are the same as in PyTorch"}


def is_exact(precision: str, provider: str) -> bool:
    """Whether a bundle computes in float32 what PyTorch computes: on a GPU, products may be of a narrower format."""
    return precision == "float32" and provider == "CPUExecutionProvider"


def reference_answers(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    ends: set[int],
    reporter: Reporter,
    max_new_tokens: int | None = None,
) -> ReferenceAnswers:
    """Ask the PyTorch ``model`` for what a bundle is compared with.

    Args:
        model: The model that is exported.
        tokenizer: Its tokenizer.
        examples: The rows to compare on; the first 64 are answered.
        ends: The token ids that end an answer.
        reporter: Shows the progress.
        max_new_tokens: The limit of an answer; None for one by the rows.
    """
    renderer = Renderer(tokenizer)
    chosen = list(examples[:ROWS_ANSWERED])
    prompts = [prompt_token_ids(example, renderer) for example in chosen]
    right = [text for example in examples for text in (example.written, *example.alternatives)]
    longest = max_new_tokens or default_max_new_tokens(right, tokenizer)
    answers = generate(
        model,
        prompts,
        longest,
        ends,
        tokenizer.pad_token_id,
        lambda done, total: reporter.advance("PyTorch: answering", done, total),
    )
    with torch.no_grad():
        logits = [
            model(input_ids=torch.tensor([ids])).logits[0, -1].float().tolist() for ids in prompts[:ROWS_OF_LOGITS]
        ]
    texts = [renderer.prompt(example) for example in chosen]
    return ReferenceAnswers(chosen, prompts, texts, answers, logits, longest)


def _same(
    reference: ReferenceAnswers, worker: OnnxWorker, predictor: OnnxPredictor, reporter: Reporter
) -> dict[str, Any]:
    """How much is the same, as [same, of] each."""
    limit = reference.max_new_tokens
    texts = _prompt_texts(reference, worker)
    tokens = worker.ask("encode", texts=[text or given for text, given in zip(texts, reference.texts, strict=True)])
    answered = worker.answer(
        reference.prompts, limit, lambda done, total: reporter.advance(f"{predictor.name}: answering", done, total)
    )
    own = [answer.tokens for answer in answered]
    batched = predictor.runtime.generate(reference.prompts, limit, predictor.ends)
    logits = worker.ask("logits", prompts=[list(prompt) for prompt in reference.prompts[:ROWS_OF_LOGITS]])
    return {
        "process": "fresh, onnxruntime-genai",
        "rows_answered": len(reference.examples),
        "template_identical": _share(texts, reference.texts),
        "token_ids_identical": _share(tokens, reference.prompts),
        "ends_identical": _share(
            [answer.ended for answer in answered], [len(answer) < limit for answer in reference.answers]
        ),
        "answers_equal": _share(own, reference.answers),
        "answers_equal_in_batches": _share(batched, own),
        "greatest_logit_difference": _max_difference(logits, reference.logits),
    }


def _prompt_texts(reference: ReferenceAnswers, worker: OnnxWorker) -> list[str | None]:
    """The prompts as onnxruntime-genai renders them; None where its template engine fails."""
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
    return texts


def _share(own: Sequence[Any], wanted: Sequence[Any]) -> list[int]:
    """[same, of]."""

    def plain(value: Any) -> Any:
        """A tuple as a list, as JSON gives it."""
        return list(value) if isinstance(value, (list, tuple)) else value

    return [sum(plain(a) == plain(b) for a, b in zip(own, wanted, strict=True)), len(own)]


def _max_difference(own: Sequence[Sequence[float]], wanted: Sequence[Sequence[float]]) -> float | None:
    """Where the two vocabularies are padded to different lengths, the shorter counts; None if one is not a number."""
    pairs = zip(own, wanted, strict=True)
    found = [abs(a - b) for x, y in pairs for a, b in zip(x, y, strict=False)]
    return round(max(found, default=0.0), 6) if all(map(isfinite, found)) else None
