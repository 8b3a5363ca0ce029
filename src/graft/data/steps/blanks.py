"""Blanks around texts and lines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graft.data.readers import Row
from graft.data.steps.base import Change, Sides, StepContext, each_row


class Blanks:
    """Texts without blanks around them, and with line ends as ``\\n``."""

    name = "blanks"
    title = "remove blanks around texts, and write line ends in one way"
    safe = True

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the rows without such blanks."""

        def change(row: Row, side: str) -> Row:
            columns: dict[str, Any] = {}
            for name, value in row.columns.items():
                columns[name] = value.replace("\r\n", "\n").strip() if isinstance(value, str) else value
                if columns[name] != value:
                    context.log.add(
                        Change(self.name, "changed", row.origin, side, "blanks around it", name, value, columns[name])
                    )
            return replace(row, columns=columns)

        return each_row(sides, change)
