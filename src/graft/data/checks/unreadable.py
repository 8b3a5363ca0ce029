"""Rows that cannot be read, or have nothing to learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graft.data.checks.base import Finding
from graft.data.checks.view import CheckedData


class Unreadable:
    """Rows that ``graft finetune`` would refuse."""

    name = "unreadable"
    title = "Unreadable rows"
    quick = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for each kind of fault."""
        for problem in data.faults.said():
            yield Finding(
                "unreadable",
                "error",
                f"{problem.where}: {problem.what}" if problem.where else problem.what,
                why="graft finetune refuses data with such rows",
                remedy=problem.remedy or "correct or remove these rows",
            )
