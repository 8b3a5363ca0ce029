"""Grid search."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

from graft.config import Settings, setting
from graft.errors import InputError, Problem
from graft.runs.search_manifest import TrialRecord
from graft.search.space import SearchSpace

MOST_SHUFFLED = 10**6


class GridConfig(Settings):
    """Options of grid search."""

    grid_shuffle: bool = setting(
        False, "visit the points of the grid in random order, such as where --num_trials is less than their number"
    )


class GridSearch:
    """Every point of the grid once; of two neighbors the last setting of the space differs."""

    Config: ClassVar[type[Settings]] = GridConfig
    name: ClassVar[str] = "grid"
    help: ClassVar[str] = "every combination of the values"
    needs: ClassVar[tuple[tuple[str, str], ...]] = ()
    generation: ClassVar[int | None] = None

    def __init__(self, settings: GridConfig) -> None:
        self.settings = settings

    def size(self, space: SearchSpace) -> int:
        """Return the number of points.

        Raises:
            InputError: Naming the ranges that have no end of values.
        """
        endless = [dimension.name for dimension in space.dimensions if dimension.count() is None]
        if endless:
            remedy = "give num: 5 (evenly spaced, on a logarithmic scale with log), step, or a list of values"
            raise InputError(
                *(Problem(f"{name} is a continuous range; a grid needs values", "", remedy) for name in endless)
            )
        return math.prod(dimension.count() or 1 for dimension in space.dimensions)

    def propose(
        self, space: SearchSpace, number: int, seed: int, past: Sequence[TrialRecord], greater_is_better: bool
    ) -> dict[str, Any]:
        """Return the point of this number.

        Raises:
            InputError: If there are fewer points, or a range has no end of values.
        """
        size = self.size(space)
        if number > size:
            raise InputError(f"the grid has {size:,} points, so there is no trial {number}")
        index = number - 1
        if self.settings.grid_shuffle and size <= MOST_SHUFFLED:
            index = _order(size, seed)[index]
        elif self.settings.grid_shuffle:
            index = random.Random(f"{seed}:{number}").randrange(size)  # of so many, hardly any is drawn twice
        found: dict[str, Any] = {}
        for dimension in reversed(space.dimensions):
            index, place = divmod(index, dimension.count() or 1)
            found[dimension.name] = dimension.point(place)
        return {dimension.name: found[dimension.name] for dimension in space.dimensions}


@lru_cache(maxsize=1)
def _order(size: int, seed: int) -> list[int]:
    order = list(range(size))
    random.Random(seed).shuffle(order)
    return order
