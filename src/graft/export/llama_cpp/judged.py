"""What the model that was judged does, asked before its adapter is merged."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graft.config import BundleSettings
from graft.data.chat_template import Renderer
from graft.data.example import AnswerExample, Origin
from graft.evaluation.compare import Evaluation, evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.rows import EvaluationRows
from graft.export.cached_predictions import RecordedEvaluation, criteria_of_run, recorded_evaluation
from graft.export.merge import load_judged
from graft.export.onnx.parity_check import ReferenceAnswers, reference_answers
from graft.export.parity_rows import load_parity_rows
from graft.export.source import ExportSource
from graft.inference.cached import CachedPredictor
from graft.inference.predictor import Predictor
from graft.inference.torch import TorchPredictor
from graft.models.base import load_model, untuned_if_here
from graft.progress import Reporter

SAMPLE_TEXTS = ("The way to the sea is long.", "12 + 30 = 42", "Straße, 東京, ಕನ್ನಡ, हिन्दी", "<b>1.000 €</b>\n\n\tx  y")
"""What a model without a run is asked."""
SAMPLE_TOKENS = 16


@dataclass(frozen=True)
class Judged:
    """What an export is compared with.

    Attributes:
        reference: The tokens, logits and greedy answers of the first rows.
        rows: The rows of the metrics; None for a model without a run and without rows.
        predictors: Models that keep their answers; the last one is the model that is exported.
        criteria: The metrics, and how they are computed.
    """

    reference: ReferenceAnswers
    rows: EvaluationRows | None = None
    predictors: Sequence[Predictor] = ()
    criteria: Criteria = field(default_factory=Criteria)

    def evaluate(self, predictors: Sequence[Predictor], reporter: Reporter) -> Evaluation:
        """Compare ``predictors`` on the rows, by what the model was judged by."""
        assert self.rows is not None
        return evaluate(predictors, self.rows, self.criteria, reporter)


def ask_judged(source: ExportSource, options: BundleSettings, reporter: Reporter) -> tuple[Judged, Any]:
    """Ask the model, which is not merged, all that the file will be asked; its base is gone before it is loaded.

    Args:
        source: The model to export.
        options: The rows to compare on (``data_files``, ``parity_rows``).
        reporter: Shows notes and progress.

    Returns:
        What it does, and the model, as ``load_judged`` loads it.

    Raises:
        InputError: If the rows cannot be read.
    """
    files = getattr(options, "data_files", None)
    own = source.run if files is None else None
    known = recorded_evaluation(own, source.tokenizer, source.base.trust_remote_code) if own is not None else None
    if known is not None:
        model = load_judged(source)
        return _recorded(known, model, source, options.parity_rows, reporter), model
    if own is None and files is None:
        model = load_judged(source)
        return _samples(model, source, reporter), model
    rows = load_parity_rows(source, files, options.parity_rows)
    criteria = criteria_of_run(own, rows, source.base.trust_remote_code)
    before = untuned_if_here(source.opened, reporter) if own is not None else None
    base = _kept("base", load_model(before), source, rows, criteria, reporter) if before is not None else None
    gc.collect()  # modules refer to one another: the base leaves memory only now
    model = load_judged(source)
    tuned = _kept("tuned" if base else "model", model, source, rows, criteria, reporter)
    ends, limit = _ends(model, source), criteria.max_new_tokens
    answers = reference_answers(model, source.tokenizer, rows.examples, ends, reporter, limit)
    return Judged(answers, rows, [*([base] if base else []), tuned], criteria), model


def _recorded(known: RecordedEvaluation, model: Any, source: ExportSource, count: int, reporter: Reporter) -> Judged:
    """The run's own evaluation; ``model`` is asked only for tokens, answers and logits of the first rows."""
    reporter.note(f"reusing PyTorch's answers to {len(known.rows.examples)} rows from the run's evaluation")
    rows, limit = known.rows.first(count), known.max_new_tokens
    answers = reference_answers(model, source.tokenizer, rows.examples, _ends(model, source), reporter, limit)
    return Judged(answers, rows, list(known.predictors), known.criteria)


def _samples(model: Any, source: ExportSource, reporter: Reporter) -> Judged:
    examples = [AnswerExample(text, "", Origin("sample", place)) for place, text in enumerate(SAMPLE_TEXTS)]
    if source.tokenizer.chat_template:
        asked = [({"role": "user", "content": text},) for text in SAMPLE_TEXTS]
        examples += [AnswerExample(messages, "", Origin("sample", 0)) for messages in asked]
    ends = _ends(model, source)
    return Judged(reference_answers(model, source.tokenizer, examples, ends, reporter, SAMPLE_TOKENS))


def _kept(
    name: str, model: Any, source: ExportSource, rows: EvaluationRows, criteria: Criteria, reporter: Reporter
) -> CachedPredictor:
    """What the evaluation asks, asked of ``model``, which may leave memory then."""
    found = CachedPredictor(_torch(name, model, source))
    evaluate([found], rows, criteria, reporter)
    found.release_model()
    return found


def _torch(name: str, model: Any, source: ExportSource) -> TorchPredictor:
    return TorchPredictor(name, model, source.tokenizer, Renderer(source.tokenizer))


def _ends(model: Any, source: ExportSource) -> set[int]:
    return _torch("", model, source).ends()
