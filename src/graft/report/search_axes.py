"""The axes of searched settings: where a value lies between the ends, on the scale that it was searched on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any, NamedTuple

from graft.report import svg
from graft.report.format import figure
from graft.report.search_view import SearchView, written
from graft.runs.view import number

LOG_FROM = 20.0
"""The ratio of the largest to the smallest score from which an axis is logarithmic."""
LONG_TAIL = 3.0
"""Scores that are worse than the worse quartile by more interquartile ranges are far from the others (Tukey 1977)."""


class Tick(NamedTuple):
    """A mark of an axis: its place from 0 to 1, and what it says."""

    place: float
    words: str


@dataclass(frozen=True)
class Axis:
    """The axis of a setting, or of the score.

    Attributes:
        name: What it is of.
        low: The value at 0; of a choice unused.
        high: The value at 1.
        log: Whether it is logarithmic.
        choices: The texts of the values of a choice, in order; empty for numbers.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[str, ...] = ()

    def place(self, value: Any) -> float | None:
        """Return where ``value`` lies, from 0 to 1; None if it has no place here."""
        if self.choices:
            text = written(value)
            return (self.choices.index(text) + 0.5) / len(self.choices) if text in self.choices else None
        found = number(value)
        if found is None or (self.log and found <= 0):
            return None
        return self._scale()(found)

    def _scale(self) -> svg.Scale:
        if self.low == self.high:
            return lambda value: 0.5
        return svg.logarithmic(self.low, self.high, 0, 1) if self.log else svg.linear(self.low, self.high, 0, 1)

    def ticks(self, wanted: int) -> list[Tick]:
        """Return about ``wanted`` marks, those of all choices among them."""
        if self.choices:
            return [Tick((place + 0.5) / len(self.choices), text) for place, text in enumerate(self.choices)]
        if self.low == self.high:
            return [Tick(0.5, written(self.low))]
        marks = _log_ticks(self.low, self.high, wanted) if self.log else svg.ticks(self.low, self.high, wanted)
        scale = self._scale()
        return [Tick(scale(mark), short(mark)) for mark in marks if -1e-6 <= scale(mark) <= 1 + 1e-6]


def _log_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Powers of ten where there are enough of them, else 1, 2, 5 times these, else round numbers."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    every = max(1, -(-(last - first + 1) // max(wanted, 1)))
    powers = [10.0**power for power in range(first, last + 1, every)]
    if len(powers) >= min(3, wanted):
        return powers
    finer = [tick for tick in svg.log_ticks(low, high) if low <= tick <= high]
    return finer if len(finer) >= 2 else svg.ticks(low, high, wanted)


def short(value: float) -> str:
    """Return a number for the mark of an axis: ``0.001``, ``1e-05``, ``20k``."""
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-3 or size >= 1e6:
        mantissa, _, power = f"{value:.2e}".partition("e")
        return f"{float(mantissa):g}e{int(power)}"
    return figure(float(f"{value:.4g}"))


def setting_axis(view: SearchView, name: str) -> Axis:
    """Return the axis of a searched setting; it has room for all values that were tried, too."""
    dimension, tried = view.dimension(name), [trial.settings[name] for trial in view.trials if name in trial.settings]
    numbers = [found for found in map(number, tried) if found is not None]
    bounds = [found for found in (number(dimension.get("low")), number(dimension.get("high"))) if found is not None]
    if dimension.get("type") == "choice" or len(bounds) < 2 or len(numbers) < len([t for t in tried if t is not None]):
        values = [*(dimension.get("values") or ()), *tried]
        return Axis(name, choices=tuple(dict.fromkeys(map(written, values))))
    low, high = min([*bounds, *numbers]), max([*bounds, *numbers])
    return Axis(name, low, high, bool(dimension.get("log")) and low > 0)


def score_axis(view: SearchView, values: Sequence[float]) -> Axis:
    """Return the axis of the scores; logarithmic where the largest is twenty times the smallest.

    Where it is not, it ends before scores that are far worse than the others.
    """
    low, high = min(values), max(values)
    if low > 0 and high / low >= LOG_FROM:
        return Axis(view.metric.label, low / 1.1, high * 1.1, True)
    kept = without_tail(values, view.manifest.greater_is_better)
    low, high = min(kept), max(kept)
    margin = 0.06 * (high - low) or abs(low) * 0.1 or 0.1
    return Axis(view.metric.label, low - margin, high + margin)


def without_tail(values: Sequence[float], greater_is_better: bool) -> list[float]:
    """Return the scores, where those far worse than the others are no farther away than the rest allows."""
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    reach = LONG_TAIL * (high - low)
    return [max(value, low - reach) if greater_is_better else min(value, high + reach) for value in values]
