"""Confusion matrices and per-class scores, shaped for a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from graft.data.baselines import MOST_COMMON
from graft.report.format import count, share
from graft.runs.evaluation_document import ClassRecord
from graft.runs.view import RunView

LARGEST = 16
"""With more labels than this a matrix can't be read; the commonest mistakes are listed instead."""
HEATS = 10


@dataclass(frozen=True)
class Cell:
    """A cell of the matrix as text; ``heat`` is its share of the row, in steps from 0 to ``HEATS``."""

    count: str
    share: str
    heat: int
    right: bool


@dataclass(frozen=True)
class Matrix:
    """Rows are the reference's labels, columns the answers'."""

    predictor: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]


class LabelMatrix(NamedTuple):
    """Counts with their labels; an answer is None where answers outside of the labels are counted."""

    labels: Sequence[str]
    answers: Sequence[str | None]
    counts: Sequence[Sequence[int]]


class Figures(NamedTuple):
    """Precision, recall and F1 of a class, as text."""

    precision: str
    recall: str
    f1: str


class Mistake(NamedTuple):
    """A label, the other label that was predicted, and how often."""

    label: str
    answer: str
    rows: str


@dataclass(frozen=True)
class ClassRow:
    """Precision, recall and F1 of a label for each predictor."""

    label: str
    support: str
    figures: list[Figures]


def matrices(view: RunView) -> list[Matrix]:
    """Return a confusion matrix for each predictor; none with more than ``LARGEST`` labels."""
    found = _counts(view)
    return [_matrix(name, counts, view.labels) for name, counts in found] if len(view.labels) <= LARGEST else []


def label_matrix(view: RunView, predictor: str) -> LabelMatrix | None:
    """Return the counts of a predictor's answers by label; None without a matrix of it."""
    counts = dict(_counts(view)).get(predictor)
    if counts is None:
        return None
    width, labels = max(map(len, counts)), view.labels
    answers = [*labels, *[None] * (width - len(labels))]
    return LabelMatrix(labels, answers, [[*row, *[0] * (width - len(row))] for row in counts])


def mistakes(view: RunView, most: int = 10) -> list[tuple[str, list[Mistake]]]:
    """Predictor -> (reference, answer, count) of the commonest mistakes, where a matrix would be too large."""
    if len(view.labels) <= LARGEST:
        return []
    listed = []
    for name, counts in _counts(view):
        columns = _columns(counts, view.labels)
        wrong = [
            (value, view.labels[row], columns[column])
            for row, values in enumerate(counts)
            for column, value in enumerate(values)
            if row != column and value > 0
        ]
        wrong.sort(key=lambda entry: -entry[0])
        listed.append((name, [Mistake(label, answer, count(value)) for value, label, answer in wrong[:most]]))
    return listed


def class_rows(view: RunView, predictors: Sequence[str]) -> list[ClassRow]:
    """Return the scores of each class by ``predictors``."""
    classes = view.evaluation.classes
    if not classes or not predictors:
        return []
    names = view.labels or list(dict.fromkeys(label for by_label in classes.values() for label in by_label))
    return [_class_row(label, [classes.get(predictor) or {} for predictor in predictors]) for label in names]


def with_classes(view: RunView) -> list[str]:
    """Return the predictors that have scores by class."""
    return [name for name in view.predictors if view.evaluation.classes.get(name)]


def commonest_share(view: RunView) -> float | None:
    """The accuracy of always giving the commonest label of the training rows; of older runs, of the rows judged by."""
    known = view.evaluation.baselines.get(MOST_COMMON, {}).get("accuracy")
    if known is not None:
        return known.value
    supports = [sum(counts) for _, matrix in _counts(view)[:1] for counts in matrix]
    return max(supports) / sum(supports) if sum(supports) else None


def _class_row(label: str, by_predictor: Sequence[Mapping[str, ClassRecord]]) -> ClassRow:
    records = [by_label.get(label) or ClassRecord() for by_label in by_predictor]
    support = next((record.support for record in records if record.support is not None), None)
    figures = [Figures(_three(r.precision), _three(r.recall), _three(r.f1)) for r in records]
    return ClassRow(label, count(support), figures)


def _three(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _counts(view: RunView) -> list[tuple[str, list[list[int]]]]:
    """Those matrices of evaluation.json that have a row for each label."""
    return [(name, rows) for name, rows in view.evaluation.confusion.items() if rows and len(rows) == len(view.labels)]


def _columns(counts: Sequence[Sequence[float]], labels: Sequence[str]) -> list[str]:
    """The labels, and ``other`` where answers outside of them are counted last."""
    widest = max(len(row) for row in counts)
    return [*labels, *["other"] * (widest - len(labels))]


def _matrix(name: str, counts: Sequence[Sequence[float]], labels: Sequence[str]) -> Matrix:
    rows = []
    for index, (label, row) in enumerate(zip(labels, counts, strict=True)):
        whole = sum(row) or 1.0
        cells = [_cell(value, value / whole, index == column) for column, value in enumerate(row)]
        rows.append((label, cells))
    return Matrix(name, _columns(counts, labels), rows)


def _cell(value: float, part: float, right: bool) -> Cell:
    return Cell(count(value), share(part), round(part * HEATS), right)
