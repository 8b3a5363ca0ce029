"""A paired difference between two predictors, as evaluation.json has it."""

from __future__ import annotations

from pydantic import Field

from graft.runs.record import Record


class DifferenceRecord(Record):
    """How much higher the predictor ``to`` scores than ``from``, paired by row, with its 95 % interval and p."""

    metric: str
    before: str = Field(alias="from")
    after: str = Field(alias="to")
    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
