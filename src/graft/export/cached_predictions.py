"""The run's evaluation as predictors, so that an export asks the PyTorch model nothing that was asked before.

Only what the evaluation measured is used. A run whose evaluation does not hold all of it is evaluated again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graft.config import DataSettings
from graft.data.example import Example
from graft.data.sources import sha256_of
from graft.errors import GraftError
from graft.evaluation.criteria import Criteria
from graft.evaluation.metrics import select_metrics
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.table import metric_references
from graft.inference.predictor import CompletionScore, Progress
from graft.runs.evaluation_document import read_evaluation, read_predictions
from graft.runs.folder import RunFolder
from graft.runs.trust import named_code, refuse_code
from graft.tasks.evaluation_rows import load_evaluation_rows
from graft.tasks.recorded_prompt import prompt_of_run
from graft.tasks.select import default_task


class NotRecorded(LookupError):
    """The evaluation has no such answer or score."""


class RecordedPredictor:
    """Answers from the lines of predictions.jsonl.

    Args:
        name: The predictor's name in the evaluation.
        tokenizer: Its tokenizer.
        answers: Its answer to each row, where answers were generated.
        scores: The score of each completion that was scored, by row.
        examples: The rows.
    """

    def __init__(
        self,
        name: str,
        tokenizer: Any,
        examples: Sequence[Example],
        answers: Sequence[str | None],
        scores: Sequence[Mapping[str, CompletionScore]],
    ) -> None:
        self.name, self.tokenizer = name, tokenizer
        self._answers = {id(example): answer for example, answer in zip(examples, answers, strict=True)}
        self._scores = {id(example): known for example, known in zip(examples, scores, strict=True)}
        self._examples = examples  # kept alive, so that no other example gets one of their ids

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        """The recorded answers.

        Raises:
            NotRecorded: If one of the rows was not answered.
        """
        found = [self._answers[id(example)] for example in examples]
        if None in found:
            raise NotRecorded(f"the evaluation has no answer from {self.name} for one of these rows")
        return [str(answer) for answer in found]

    def score(
        self, examples: Sequence[Example], completions: Sequence[Sequence[str]], progress: Progress | None = None
    ) -> list[list[CompletionScore]]:
        """The recorded scores.

        Raises:
            NotRecorded: If one of the completions was not scored.
        """
        try:
            return [
                [self._scores[id(example)][text] for text in texts]
                for example, texts in zip(examples, completions, strict=True)
            ]
        except KeyError:
            raise NotRecorded(f"the evaluation has no score from {self.name} for one of these rows") from None


@dataclass(frozen=True)
class RecordedEvaluation:
    """A run's evaluation.

    Attributes:
        rows: The rows that base and tuned were evaluated on.
        metrics: The metrics.
        max_new_tokens: The limit of an answer.
        predictors: Base and tuned.
        normalize: What did not count in texts that were compared.
    """

    rows: EvaluationRows
    metrics: list[str]
    max_new_tokens: int
    predictors: list[RecordedPredictor]
    normalize: tuple[str, ...] = ()

    @property
    def criteria(self) -> Criteria:
        """The metrics, and how they were computed."""
        return Criteria(self.metrics, self.normalize, self.max_new_tokens)


def criteria_of_run(
    run: RunFolder | None, rows: EvaluationRows, trusted: bool, default: Sequence[str] | None = None
) -> Criteria:
    """By what ``run`` was judged, for rows of its own.

    Args:
        run: The run; None for other rows, which are judged by the defaults.
        rows: The rows.
        trusted: Whether the code of metrics that the evaluation names may run.
        default: The metrics where the run has no evaluation, or one by metrics that are gone, do not fit the rows, or
            may not run; None for those that fit the rows.
    """
    try:
        evaluation = read_evaluation(run.path) if run is not None else None
        if run is None or evaluation is None:
            return Criteria(default)
        metrics, normalize = metric_references(evaluation.document()), tuple(evaluation.normalize)
        if not trusted:
            refuse_code_of_metrics(metrics, run)
        select_metrics(metrics, rows.references, rows.labels, normalize)
    except GraftError:
        return Criteria(default)
    return Criteria(metrics, normalize, evaluation.max_new_tokens)


def recorded_evaluation(run: RunFolder, tokenizer: Any, trusted: bool = False) -> RecordedEvaluation | None:
    """The evaluation of ``run``; None if there is none, or it is not of today's weights and rows, or not complete.

    Args:
        run: The run.
        tokenizer: Its tokenizer.
        trusted: Whether the code of metrics that the evaluation names may run; without it, an evaluation with such
            metrics is None.
    """
    try:
        evaluation = read_evaluation(run.path)
        if evaluation is None:
            return None
        lines = [record.document() for record in read_predictions(run.path)]
        return _checked(run, evaluation.document(), lines, tokenizer, trusted)
    except (OSError, ValueError, LookupError, TypeError, GraftError):
        return None


def _checked(
    run: RunFolder, document: Mapping[str, Any], lines: list[dict[str, Any]], tokenizer: Any, trusted: bool
) -> RecordedEvaluation | None:
    source, weights = document["data"], run.path / "adapter" / "adapter_model.safetensors"
    if run.manifest.adapter.sha256 != sha256_of(weights):
        return None
    own = source["sha256"] == sha256_of(run.path / "data" / "eval.jsonl")
    path = Path(source["path"])
    if not own and source["sha256"] != sha256_of(path):
        return None
    task = default_task("causal")
    prompt = prompt_of_run(run, task, tokenizer)
    read = load_evaluation_rows(run, None if own else [str(path)], DataSettings(), task, prompt=prompt)
    rows = replace(read, source=dict(source))
    names = [name for name in ("base", "tuned") if name in document["predictors"]]
    found = [(example.prompt_text, example.reference) for example in rows.examples]
    if found != [(line["prompt"], line["reference"]) for line in lines] or len(names) < 2:
        return None
    metrics = metric_references(document)
    if not trusted:
        refuse_code_of_metrics(metrics, run)
    select_metrics(metrics, rows.references, rows.labels)  # a user's own can be gone
    predictors = [_predictor(name, tokenizer, rows.examples, lines, document["labels"]) for name in names]
    normalize = tuple(document.get("normalize") or ())
    return RecordedEvaluation(rows, metrics, int(document["max_new_tokens"]), predictors, normalize)


def refuse_code_of_metrics(metrics: Sequence[str], run: RunFolder) -> None:
    """Check that the metrics of a run are built in.

    Raises:
        InputError: If some of the metrics that the evaluation of ``run`` names are code, which its file may choose.
    """
    own = ",".join(named_code({"metrics": list(metrics)}))
    refuse_code(own, str(run.path), trusted=False, what="a metric", instead=f"--metrics {own}")


def _predictor(
    name: str,
    tokenizer: Any,
    examples: Sequence[Example],
    lines: Sequence[Mapping[str, Any]],
    labels: Sequence[str] | None,
) -> RecordedPredictor:
    """The completions of a row that were scored are ``labels``, or without labels the reference alone."""
    answers = [line["answers"].get(name) for line in lines]
    scores = []
    for line in lines:
        scored = (line.get("likelihoods") or {}).get(name) or []
        texts = labels or [line["reference"]]
        known = zip(texts, scored, strict=True) if scored else ()
        scores.append({text: CompletionScore(*figures) for text, figures in known})
    return RecordedPredictor(name, tokenizer, examples, answers, scores)


OWN_MODELS = ("base", "previous", "tuned")
"""The models of a run; other columns of its evaluation are its bundles."""


@dataclass(frozen=True)
class RecordedColumns:
    """What a run's evaluation recorded about some of its rows.

    Attributes:
        predictors: Its models, the base first; not its bundles.
        metrics: Its metrics.
        normalize: What its metrics ignored in answers.
        max_new_tokens: Its limit of an answer.
    """

    predictors: list[RecordedPredictor]
    metrics: list[str]
    normalize: tuple[str, ...]
    max_new_tokens: int | None


def recorded_columns(run: RunFolder, rows: Sequence[Example], asked: Sequence[Example]) -> RecordedColumns | None:
    """What the run's evaluation recorded about ``rows``; None if it is not of all of them, or of other weights.

    Args:
        run: The run.
        rows: The rows as the run has them.
        asked: The same rows as others are asked; the predictors answer to these.

    Raises:
        InputError: If a file of the evaluation is damaged.
    """
    evaluation = read_evaluation(run.path)
    own = [name for name in OWN_MODELS if evaluation is not None and name in evaluation.predictors]
    if evaluation is None or not own or not _has_judged_weights(run):
        return None
    lines = _lines_of(rows, [record.model_dump() for record in read_predictions(run.path)])
    if lines is None:
        return None
    predictors = [_predictor(name, None, asked, lines, evaluation.labels) for name in own]
    metrics = metric_references(evaluation.document())
    return RecordedColumns(predictors, metrics, tuple(evaluation.normalize), evaluation.max_new_tokens)


def _has_judged_weights(run: RunFolder) -> bool:
    weights, recorded = run.path / "adapter" / "adapter_model.safetensors", run.manifest.adapter.sha256
    return recorded is None or not weights.is_file() or recorded == sha256_of(weights)


def _lines_of(rows: Sequence[Example], lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """The line of each row; None if one has none, or two that differ."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for line in lines:
        key = (line["origin"], line["prompt"], line["reference"])
        if _own_answers(found.setdefault(key, line)) != _own_answers(line):
            return None
    keys = [(str(row.origin), row.prompt_text, row.reference) for row in rows]
    return [found[key] for key in keys] if all(key in found for key in keys) else None


def _own_answers(line: Mapping[str, Any]) -> list[str | None]:
    return [line["answers"].get(name) for name in OWN_MODELS]
