"""Rows in which a check spotted something, with the first as examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from graft.data.checks.base import Severity
from graft.data.example import MOST_PLACES, Origin
from graft.data.located import Located
from graft.data.personal import shown_around


@dataclass
class Spotted:
    """The places of rows, each once, and lines about the first of them.

    Attributes:
        rows: The places.
        evidence: A line for each of the first rows.
    """

    rows: Located = field(default_factory=Located)
    evidence: list[str] = field(default_factory=list)
    _last: Origin | None = None

    def add(self, origin: Origin, said: str | Callable[[], str]) -> None:
        """Add a row, unless it was the last one that was added.

        Args:
            origin: The place.
            said: What is to be seen there, without personal data; or what returns it, called for the first rows only.
        """
        if origin == self._last:
            return
        self._last = origin
        self.rows.add(origin)
        if len(self.evidence) < MOST_PLACES:
            self.evidence.append(f"{origin}: {said if isinstance(said, str) else said()}")

    def __len__(self) -> int:
        return len(self.rows)


FEW = 0.005
"""A share of the rows with a fault that harms only by their number; up to this it is a note."""


def severity_of(count: int, total: int) -> Severity:
    """Return how grave it is that ``count`` of ``total`` rows have a fault that harms only by their number."""
    return "warning" if count > FEW * total else "note"


def around(place: str, text: str, start: int, end: int) -> str:
    """Return where a text is, and what stands from ``start`` to ``end`` and around it, personal data masked."""
    return f"{place}: {shown_around(text, start, end)}"


def counted_rows(count: int, one: str, many: str) -> str:
    """Return ``1 row has …`` or ``12 rows have …``."""
    return f"1 row {one}" if count == 1 else f"{count:,} rows {many}"
