"""Rows that ask nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graft.data.asked import lacks_prompt
from graft.data.checks.base import Finding, many
from graft.data.checks.view import CheckedData
from graft.data.located import Located


class EmptyPrompts:
    """Rows whose prompt or text is empty, or nothing but blanks. In conversations these are empty turns."""

    name = "empty_prompts"
    title = "Empty prompts"
    quick = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for each side with such rows."""
        for side in data.sides:
            mapping = data.mapping
            rows = Located(row.origin for row in side.rows if mapping is not None and lacks_prompt(row, mapping))
            if rows:
                yield Finding(
                    "empty_prompts",
                    "warning",
                    f"{many(len(rows), 'row has an empty prompt', 'rows have an empty prompt')}",
                    rows,
                    why="the model learns to give these answers to nothing",
                    remedy="fill in the prompts, or remove these rows",
                    figures={"rows": len(rows), "share": round(len(rows) / len(side.rows), 4)},
                    side=side.name,
                )
