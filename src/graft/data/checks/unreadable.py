"""Rows that cannot be read, or have nothing to learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graft.data.checks.base import Finding, Severity
from graft.data.checks.view import CheckedData
from graft.data.example import MOST_PLACES
from graft.data.faults import FaultKind
from graft.data.personal import shown_text
from graft.errors import Problem

_LONGEST = 160
"""Characters of a sentence on a row."""


class Unreadable:
    """Rows that ``graft finetune`` would refuse, and rows of ``--against`` that cannot be compared."""

    name = "unreadable"
    title = "Unreadable rows"
    quick = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for each kind of fault, with the places of all rows that have it."""
        for kind in data.faults.kinds:
            yield _finding(kind, "unreadable", "error", "graft finetune refuses data with such rows", "train")
        for kind in data.uncompared.kinds:
            why = "these rows of --against are not compared with the training data"
            yield _finding(kind, "not_compared", "warning", why, "against")


def _finding(kind: FaultKind, name: str, severity: Severity, why: str, side: str) -> Finding:
    return Finding(
        name,
        severity,
        _title(kind),
        kind.rows,
        why=why,
        remedy=kind.first[0].remedy or "correct or remove these rows",
        evidence=tuple(_said(problem) for problem in kind.first[:MOST_PLACES]),
        figures={"faults": kind.count},
        side=side,
    )


def _title(kind: FaultKind) -> str:
    """What is wrong, with the number of rows where there are several."""
    if kind.count == 1:
        return shown_text(kind.first[0].what, _LONGEST)
    alike = "rows" if kind.said == kind.name else "rows like this one"
    return f"{kind.count:,} {alike}: {shown_text(kind.said, _LONGEST) or 'faults of other kinds'}"


def _said(problem: Problem) -> str:
    return ": ".join(filter(None, (problem.where, shown_text(problem.what, _LONGEST))))
