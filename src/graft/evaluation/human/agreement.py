"""Agreement among raters: Krippendorff's alpha."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from graft.evaluation.metrics.base import Array

Level = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(units: Iterable[Sequence[float]], level: Level = "nominal") -> float | None:
    """Return Krippendorff's alpha (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

    1 is full agreement, 0 that of chance; below 0 raters disagree systematically.

    Args:
        units: For each unit, such as a row, the values that its raters gave, in any order. Units with fewer than two
            values say nothing.
        level: What differences mean: ``nominal`` any, ``ordinal`` by ranks, ``interval`` by distance.

    Returns:
        Alpha; None where no unit has two values, or all values are equal, for which alpha is not defined.
    """
    paired = [list(values) for values in units if len(values) > 1]
    names = sorted({value for values in paired for value in values})
    if len(names) < 2:
        return None
    place = {value: index for index, value in enumerate(names)}
    coincidences = np.zeros((len(names), len(names)))
    for values in paired:
        counts = np.bincount([place[value] for value in values], minlength=len(names)).astype(float)
        coincidences += (np.outer(counts, counts) - np.diag(counts)) / (len(values) - 1)
    totals = coincidences.sum(axis=1)
    distances = _distances(np.array(names, dtype=float), totals, level)
    expected = float((np.outer(totals, totals) * distances).sum())
    observed = float((coincidences * distances).sum())
    return 1 - (float(totals.sum()) - 1) * observed / expected


def _distances(values: Array, totals: Array, level: Level) -> Array:
    """The squared difference of each two values (values, values)."""
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "interval":
        return (values[:, None] - values[None, :]) ** 2
    middle = np.cumsum(totals) - totals / 2  # the rank in the middle of each value's own
    return (middle[:, None] - middle[None, :]) ** 2


def grouped(values: Iterable[tuple[Hashable, float]]) -> list[list[float]]:
    """Return the values of each unit, from pairs of a unit and a value."""
    found: dict[Hashable, list[float]] = {}
    for unit, value in values:
        found.setdefault(unit, []).append(value)
    return list(found.values())


def codes(names: Sequence[str]) -> Mapping[str, float]:
    """Return a number for each name, for the values of nominal units."""
    return {name: float(number) for number, name in enumerate(names)}
