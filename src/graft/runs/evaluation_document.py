"""evaluation.json, predictions.jsonl and metrics.jsonl as typed records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, Field

from graft.documents import read_object
from graft.runs.benchmark_record import BenchmarksRecord
from graft.runs.confidence_record import ConfidenceRecord
from graft.runs.difference_record import DifferenceRecord
from graft.runs.forgetting_record import ForgettingRecord
from graft.runs.judgment_record import JudgmentsRecord
from graft.runs.manifest import FigureRecord, SourceRecord
from graft.runs.record import Count, Record, read_lines, validate
from graft.runs.slices_record import SlicesRecord

EVALUATION = "evaluation.json"
PREDICTIONS = "predictions.jsonl"
METRICS = "metrics.jsonl"


class ClassRecord(Record):
    """Precision, recall and F1 of a class, and how many rows or entities of it there are."""

    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    support: Count | None = None


class EndpointRecord(Record):
    """A server that answered: its address, its model, and how it was asked.

    Attributes:
        name: The predictor's name.
        url: The address, without a query.
        model: The model's name on the server.
        api: The interface of each row: ``chat``, ``completions``, or both.
        body: Further fields of each request.
        cut: The number of answers that reached ``max_new_tokens``.
        no_label: The number of answers that are none of the labels; None for free text.
        prompt_tokens: All tokens read, as the server counts them; None where it does not.
        completion_tokens: All tokens written.
        notes: What else a reader should know.
    """

    name: str
    url: str
    model: str
    api: str = ""
    body: dict[str, Any] = Field(default_factory=dict)
    cut: Count = 0
    no_label: Count | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    notes: list[str] = Field(default_factory=list)


class WithoutLeakedRecord(Record):
    """The figures without the rows that the model was trained on.

    Attributes:
        rows: The number of rows that are left.
        known: The number of rows whose prompt is in the training data.
        near: The number of rows that have a near twin there: a Jaccard index of 0.8 or more.
        predictors: As in evaluation.json; empty where no row is left.
        differences: As in evaluation.json.
    """

    rows: Count
    known: Count = 0
    near: Count = 0
    predictors: dict[str, dict[str, FigureRecord]] = Field(default_factory=dict)
    differences: list[DifferenceRecord] = Field(default_factory=list)


class FailedMetricRecord(Record):
    """A metric of the user's own that could not be computed.

    Attributes:
        error: What it raised, and where.
        rows: The rows that it fails on, as file and line: the first of them.
        count: How many there are; 0 where it is not for single rows.
    """

    error: str
    rows: list[str] = Field(default_factory=list)
    count: Count = 0


class EvaluationDocument(Record):
    """evaluation.json: the metrics of each predictor on the same rows.

    Attributes:
        data: Where the rows are from.
        labels: The classes, or None for free text.
        max_new_tokens: The maximum number of tokens in an answer.
        normalize: What does not count when texts are compared: case, punctuation, blanks.
        metrics: What each metric says of itself; empty in documents of graft 0.1.
        notes: Sentences on the answers, such as how many differ from the reference only in letter case.
        failed_metrics: Why metrics of the user's own are missing, by name.
        predictors: By predictor and metric: the value, its 95 % interval, and the number of rows.
        differences: Paired differences from the first predictor to each other.
        without_leaked: The figures without rows that the training data has, too, or nearly; None where there are none.
        baselines: Scores to beat, as ``predictors``: of the most common answer in the training rows, of TF-IDF, and for
            texts of the copied input.
        baseline_differences: Paired differences from each baseline to each predictor.
        confusion: By predictor: a row for each label, a column for each answer; a last column for other answers.
        classes: By predictor and class.
        confidence: How sure the predictors are of their labels; None where no labels were scored.
        slices: The figures by the values of columns; None where no columns are named.
        endpoint: The server that is one of the predictors, if there is one.
        judgments: What people said of the answers (``graft rate``), if anyone was asked.
        benchmarks: What ``graft benchmark`` measured.
        forgetting: How the tuned model answers neutral prompts, compared with its base.
    """

    data: SourceRecord = Field(default_factory=SourceRecord)
    labels: list[str] | None = None
    max_new_tokens: Count | None = None
    normalize: list[str] = Field(default_factory=list)
    metrics: dict[str, dict[str, Any]] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    failed_metrics: dict[str, FailedMetricRecord] = Field(default_factory=dict)
    predictors: dict[str, dict[str, FigureRecord]] = Field(default_factory=dict)
    differences: list[DifferenceRecord] = Field(default_factory=list)
    without_leaked: WithoutLeakedRecord | None = None
    baselines: dict[str, dict[str, FigureRecord]] = Field(default_factory=dict)
    baseline_differences: list[DifferenceRecord] = Field(default_factory=list)
    lower_is_better: list[str] = Field(default_factory=list)
    confusion: dict[str, list[list[Count]]] = Field(default_factory=dict)
    classes: dict[str, dict[str, ClassRecord]] = Field(default_factory=dict)
    confidence: ConfidenceRecord | None = None
    slices: SlicesRecord | None = None
    endpoint: EndpointRecord | None = None
    judgments: JudgmentsRecord | None = None
    benchmarks: BenchmarksRecord | None = None
    forgetting: ForgettingRecord | None = None


Likelihood = Annotated[list[float | bool], Field(min_length=3, max_length=3)]
"""The log-likelihood of a completion, its tokens, and whether each of them was the likeliest."""


class PredictionRecord(Record):
    """A line of predictions.jsonl: a row, what each predictor answered and chose, and its scores.

    ``references`` are all right answers of a row that has several; the first is ``reference``. ``confidences`` are the
    probabilities of ``labels`` where settings ask for them.
    """

    origin: str = ""
    prompt: str = ""
    reference: str = ""
    references: list[str] = Field(default_factory=list)
    answers: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    confidences: dict[str, float] = Field(default_factory=dict)
    scores: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    likelihoods: dict[str, list[Likelihood] | None] = Field(default_factory=dict)


class MetricsRecord(Record):
    """A line of metrics.jsonl: the figures of a log step, or a warning.

    graft 0.1 wrote ``sign`` and ``what`` for ``warning`` and ``message``.
    """

    step: Count
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens_per_second: float | None = None
    rows_per_second: float | None = None
    rss_mb: float | None = None
    cpu_percent: float | None = None
    warning: str | None = Field(None, validation_alias=AliasChoices("warning", "sign"))
    message: str | None = Field(None, validation_alias=AliasChoices("message", "what"))


def read_evaluation(folder: Path) -> EvaluationDocument | None:
    """Read the evaluation of a folder; None if there is none.

    Raises:
        InputError: If it is damaged.
    """
    path = folder / EVALUATION
    return validate(EvaluationDocument, read_object(path), str(path)) if path.is_file() else None


def read_predictions(folder: Path) -> list[PredictionRecord]:
    """Read predictions.jsonl; empty if there is none.

    Raises:
        InputError: If a line is damaged.
    """
    return read_lines(folder / PREDICTIONS, PredictionRecord)


def read_metrics(folder: Path) -> list[MetricsRecord]:
    """Read metrics.jsonl; empty if there is none. A last line that was cut off is omitted.

    Raises:
        InputError: If another line is damaged.
    """
    return read_lines(folder / METRICS, MetricsRecord)
