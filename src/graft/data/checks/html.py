"""HTML that was left in text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from graft.data.checks.base import Finding, prepare_command
from graft.data.checks.spotted import Spotted, around, counted_rows, severity_of
from graft.data.checks.view import CheckedData, texts_of
from graft.data.markup import is_about_markup, leftover


class Html:
    """Tags and entities in rows that are not about HTML, and are no code."""

    name = "html"
    title = "Leftover HTML"

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for each side."""
        for side in data.own_sides:
            spotted = Spotted()
            for row in side.rows:
                texts = list(texts_of(row, data.read_columns()))
                for place, text in texts:
                    span = leftover(text)
                    if span is not None and not is_about_markup(each for _, each in texts):
                        spotted.add(row.origin, partial(around, place, text, *span))
            if len(spotted):
                yield Finding(
                    "html",
                    severity_of(len(spotted), len(side.rows)),
                    f"{counted_rows(len(spotted), 'has', 'have')} HTML left over",
                    spotted.rows,
                    why="the model learns to write tags and entities, and spends tokens on them",
                    remedy="remove the tags and decode the entities, unless the model is to read or write HTML",
                    fix=prepare_command("--steps html"),
                    evidence=tuple(spotted.evidence),
                    figures={"share": round(len(spotted) / len(side.rows), 4)},
                    side=side.name,
                )
