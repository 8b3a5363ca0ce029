"""The evaluation of any predictors, as ``graft evaluate`` asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graft.config import EvaluationSettings
from graft.data.example import Example
from graft.data.example_set import ExampleSet
from graft.errors import InputError
from graft.evaluation.compare import Evaluation, evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.predict import default_max_new_tokens
from graft.evaluation.rows import EvaluationRows
from graft.inference.predictor import CompletionScore, Predictor, Progress, can_score
from graft.progress import Reporter, enter
from graft.runs.folder import RunFolder
from graft.runs.kept_rows import kept_rows
from graft.runs.prompt_record import PromptRecord


def evaluated(
    predictors: Mapping[str, Predictor],
    rows: EvaluationRows,
    settings: EvaluationSettings,
    reporter: Reporter,
    default: tuple[str, ...] | None,
    pairs: Sequence[tuple[str, str]] | None = None,
    recorded_limit: int | None = None,
    train: ExampleSet | None = None,
) -> Evaluation:
    """Ask each predictor for each row, and compute the metrics.

    Args:
        predictors: The predictors by name.
        rows: The rows.
        settings: The metrics and how to compute them.
        reporter: Shows the progress.
        default: The metrics that are used unless some are named.
        pairs: The differences to compute; see ``evaluate``.
        recorded_limit: The limit of an answer when the model was judged. It holds unless a limit is given, or the
            references of these rows need more.
        train: The training rows, if they are known; see ``evaluate``.

    Raises:
        InputError: If there are no rows, or a metric is unknown or does not fit.
    """
    enter(reporter, "evaluating")
    asked = list(predictors.values())
    limit = settings.max_new_tokens
    if limit is None and recorded_limit is not None and rows.examples:
        limit = max(recorded_limit, default_max_new_tokens(rows.written, asked[0].tokenizer))
    metrics = default if settings.metrics is None else settings.metrics
    criteria = Criteria(
        metrics,
        settings.normalize,
        limit,
        settings.bootstrap_samples,
        by=settings.by,
        temperature_scaling=settings.temperature_scaling,
        abstain_below=settings.abstain_below,
    )
    return evaluate(asked, rows, criteria, reporter, pairs=pairs, train=train)


def kept_training_rows(run: RunFolder | None, reporter: Reporter) -> ExampleSet | None:
    """Return the rows that a run was trained on; None where they are gone, or one is damaged."""
    path = None if run is None else run.path / "data" / "train.jsonl"
    if run is None or path is None or not path.is_file():
        return None
    try:
        return ExampleSet.of(kept_rows(path, run.manifest.data.kind))
    except InputError as error:
        reporter.note(f"nothing is compared with the training rows, and no baselines are computed: {error.problems[0]}")
        return None


OWN_ROWS = "prompt/completion"
"""The kind of the rows in a run's ``data`` folder, whose prompts have their form already."""


def note_other_kind(rows: EvaluationRows, prompt: PromptRecord, name: str, reporter: Reporter) -> None:
    """Say so where the columns of ``rows`` were recognized as something else than those that ``name`` learned from."""
    if prompt.kind and rows.kind not in (prompt.kind, OWN_ROWS):
        reporter.note(f"these rows are read as {rows.kind}; {name} was trained on {prompt.kind}")


class OwnFormPredictor:
    """A predictor that is asked for the same rows in a form of its own.

    Args:
        predictor: The predictor.
        name: Its name in the results.
        rows: The rows that it is asked for.
        own: The same rows in the predictor's form.
    """

    def __init__(self, predictor: Predictor, name: str, rows: Sequence[Example], own: Sequence[Example]) -> None:
        self.name, self.tokenizer, self.can_score = name, predictor.tokenizer, can_score(predictor)
        self._predictor = predictor
        self._rows = rows  # kept alive, so that no other example gets one of their ids
        self._own = {id(row): example for row, example in zip(rows, own, strict=True)}

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        """As the predictor, in its own form."""
        return self._predictor.generate([self._own[id(row)] for row in examples], max_new_tokens, progress)

    def score(
        self, examples: Sequence[Example], completions: Sequence[Sequence[str]], progress: Progress | None = None
    ) -> list[list[CompletionScore]]:
        """As the predictor, in its own form."""
        return self._predictor.score([self._own[id(row)] for row in examples], completions, progress)


def documents(found: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Return the document of an evaluation; of several, by name, under ``adapters``."""
    if len(found) == 1:
        return next(iter(found.values())).document
    return {"adapters": {name: evaluation.document for name, evaluation in found.items()}}
