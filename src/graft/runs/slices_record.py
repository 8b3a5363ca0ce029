"""``slices`` of evaluation.json: the figures by the values of columns of the data."""

from __future__ import annotations

from pydantic import Field

from graft.runs.difference_record import DifferenceRecord
from graft.runs.manifest import FigureRecord
from graft.runs.record import Count, Record


class RestRecord(Record):
    """How much higher the headline is in a slice than in all other rows.

    Attributes:
        value: The difference.
        low: The lower bound of its 95 % interval.
        high: The upper bound.
        p: Its two-sided p-value.
        adjusted_p: The same after Holm's correction for all slices that are tested.
    """

    value: float
    low: float
    high: float
    p: float
    adjusted_p: float | None = None


class SliceRecord(Record):
    """The rows with a value in a column.

    Attributes:
        column: The column.
        value: The value, or a range of numbers.
        rows: How many rows there are.
        tokenizers: How metrics cut the texts, which is by the script of the slice.
        predictors: As in evaluation.json.
        differences: As in evaluation.json.
        rest: How it compares with all other rows; None where one of the two has too few rows.
    """

    column: str
    value: str
    rows: Count
    tokenizers: dict[str, str] = Field(default_factory=dict)
    predictors: dict[str, dict[str, FigureRecord]] = Field(default_factory=dict)
    differences: list[DifferenceRecord] = Field(default_factory=list)
    rest: RestRecord | None = None


class SlicesRecord(Record):
    """The slices of an evaluation.

    Attributes:
        predictor: The model whose slices are compared with the rest.
        metric: The headline.
        groups: The slices, column by column.
        unsliced: Columns in which nearly each row has a value of its own.
    """

    predictor: str
    metric: str
    groups: list[SliceRecord] = Field(default_factory=list)
    unsliced: list[str] = Field(default_factory=list)
