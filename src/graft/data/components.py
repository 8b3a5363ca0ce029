"""Connected components: what belongs together because one thing after the other connects it."""

from __future__ import annotations

import numpy as np

from graft.data.example_set import Places


class Components:
    """Places that are united in components, as by Galler & Fischer (1964).

    Args:
        size: The number of places, each a component of its own at first.
    """

    def __init__(self, size: int) -> None:
        self._leaders = list(range(size))

    def find(self, place: int) -> int:
        """Return the component's first place, halving the path to it (Tarjan & van Leeuwen 1984)."""
        leaders = self._leaders
        while leaders[place] != place:
            leaders[place] = place = leaders[leaders[place]]
        return place

    def unite(self, one: int, other: int) -> None:
        """Make one component of those of two places."""
        one, other = self.find(one), self.find(other)
        self._leaders[max(one, other)] = min(one, other)

    def unite_all(self, firsts: Places) -> None:
        """Unite each place with its place in ``firsts``; places that have themselves there cost nothing."""
        for place in np.flatnonzero(firsts != np.arange(len(firsts))).tolist():
            self.unite(place, int(firsts[place]))

    def leaders(self) -> Places:
        """Return, for each place, the first one of its component."""
        return np.array([self.find(place) for place in self._leaders], np.int64)
