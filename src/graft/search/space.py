"""The settings that a search varies."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Dimension:
    """A setting that is searched.

    Attributes:
        name: The setting, by its own name.
        kind: float and int have bounds, choice has values.
        low: The lowest value.
        high: The highest value.
        log: Whether it is searched on a logarithmic scale.
        step: The distance of neighboring values; None: any between the bounds.
        num: The number of values that a grid takes of the range; None: all of whole numbers, and of those by ``step``.
        values: The values of a choice.
    """

    name: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    num: int | None = None
    values: tuple[Any, ...] = ()

    def sample(self, random_numbers: random.Random) -> Any:
        """Return a random value."""
        if self.kind == "choice":
            return random_numbers.choice(self.values)
        if self.step is not None:
            return self.point(random_numbers.randint(0, (self.count() or 1) - 1))
        if self.kind == "int" and not self.log:
            return random_numbers.randint(int(self.low), int(self.high))
        return self._within(random_numbers.uniform, self.low, self.high)

    def at(self, share: float) -> Any:
        """Return the value at a share of the space, from 0 to below 1, on its scale: what a uniform number becomes."""
        if self.kind == "choice" or self.step is not None:
            count = self.count() or 1
            return self.point(min(int(share * count), count - 1))
        if self.kind == "int" and not self.log:
            return self._typed(math.floor(self.low + share * (self.high - self.low + 1)))
        return self._within(lambda low, high: low + share * (high - low), self.low, self.high)

    def _within(self, between: Callable[[float, float], float], low: float, high: float) -> Any:
        """The value of a number between the bounds; with log, between their logarithms."""
        if not self.log:
            return self._typed(between(low, high))
        half = 0.5 if self.kind == "int" else 0.0
        return self._typed(math.exp(between(math.log(low - half), math.log(high + half))))

    def count(self) -> int | None:
        """Return the number of its values in a grid; None where there is no end of them."""
        if self.kind == "choice":
            return len(self.values)
        if self.num is not None:
            return len(self._spaced())
        if self.step is not None:
            return math.floor((self.high - self.low) / self.step + 1e-9) + 1
        if self.kind == "int":
            return int(self.high - self.low) + 1
        return 1 if self.low == self.high else None

    def point(self, place: int) -> Any:
        """Return the value of a grid at a place from 0, in ascending order of a range."""
        if self.kind == "choice":
            return self.values[place]
        if self.num is not None:
            return self._spaced()[place]
        return self._typed(self.low + (1 if self.step is None else self.step) * place)

    def _spaced(self) -> list[Any]:
        """``num`` values on the scale, both bounds among them; fewer where whole numbers repeat."""
        shares = [place / ((self.num or 2) - 1) for place in range(self.num or 2)]
        if self.log:
            values = [self.low * (self.high / self.low) ** share for share in shares]
        else:
            values = [self.low + (self.high - self.low) * share for share in shares]
        return list(dict.fromkeys(map(self._typed, values)))

    def _typed(self, value: float) -> Any:
        bounded = min(max(value, self.low), self.high)
        return round(bounded) if self.kind == "int" else bounded

    def document(self) -> dict[str, Any]:
        """Return it as a workflow file has it."""
        if self.kind == "choice":
            return {"type": "choice", "values": list(self.values)}
        scale: dict[str, Any] = {"log": True} if self.log else {}
        scale |= {} if self.step is None else {"step": self.step}
        scale |= {} if self.num is None else {"num": self.num}
        return {"type": self.kind, "low": self._typed(self.low), "high": self._typed(self.high), **scale}


@dataclass(frozen=True)
class SearchSpace:
    """The dimensions in the order in which they were given."""

    dimensions: tuple[Dimension, ...]

    def document(self) -> dict[str, Any]:
        """Return it as a workflow file has it: by name."""
        return {dimension.name: dimension.document() for dimension in self.dimensions}
