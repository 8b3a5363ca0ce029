"""Counts by name, as rows of a table with bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from graft.report.format import count, share


class Bar(NamedTuple):
    """A label with its rows and share as text, and the length of its bar in percent of a full one."""

    label: str
    rows: str
    share: str
    length: float


TOPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""The shares that a full bar may stand for, besides the whole."""


def bars(counts: Sequence[tuple[str, int]]) -> list[Bar]:
    """Return a bar for each name and its count, all to the scale of ``full_bar``."""
    whole, top = _whole(counts), _top(counts)
    return [Bar(name, count(value), share(value / whole), 100 * value / whole / top) for name, value in counts]


def full_bar(counts: Sequence[tuple[str, int]]) -> str:
    """Return the share that a full bar stands for, such as ``50%``."""
    return share(_top(counts))


def _top(counts: Sequence[tuple[str, int]]) -> float:
    longest = max((value for _, value in counts), default=0) / _whole(counts)
    return next((top for top in TOPS if longest <= top), 1.0)


def _whole(counts: Sequence[tuple[str, int]]) -> int:
    return sum(value for _, value in counts) or 1
