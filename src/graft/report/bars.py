"""Counts by name, as rows of a table with bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from graft.report.format import count, share


class Bar(NamedTuple):
    """A label with its rows and share as text, and the length of its bar in percent of the longest."""

    label: str
    rows: str
    share: str
    length: float


def bars(counts: Sequence[tuple[str, int]]) -> list[Bar]:
    """Return a bar for each name and its count."""
    whole, longest = sum(value for _, value in counts) or 1, max((value for _, value in counts), default=1) or 1
    return [Bar(name, count(value), share(value / whole), 100 * value / longest) for name, value in counts]
