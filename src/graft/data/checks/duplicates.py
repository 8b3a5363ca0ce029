"""Rows that are equal to an earlier one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from graft.data.checks.base import Finding, many, prepare_command
from graft.data.checks.quoted import at, first_rows, quoted
from graft.data.checks.view import CheckedData, Side
from graft.data.duplicates import find_duplicates

LARGE_SHARE = 0.05
"""From this share of the rows on, repetition is a warning: there is clearly less data than there seems to be."""


class Duplicates:
    """Rows that are equal in all that is read and learned."""

    name = "duplicates"
    title = "Duplicates"
    quick = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for each side with such rows."""
        for side in data.own_sides:
            found = self._in(replace(side, examples=data.asking(side)))
            if found is not None:
                yield found

    def _in(self, side: Side) -> Finding | None:
        examples = side.examples
        found = find_duplicates(examples)
        count = len(found.repeated)
        if not count:
            return None
        share = count / len(first_rows(examples))
        pairs = zip(found.repeated[:5].tolist(), found.firsts[:5].tolist(), strict=True)
        return Finding(
            "duplicates",
            "warning" if share >= LARGE_SHARE else "note",
            f"{many(count, 'row')} {'repeats' if count == 1 else 'repeat'} an earlier row",
            at(examples, found.repeated),
            why=f"{share:.1%} of the rows: each would count several times",
            remedy="none needed: graft finetune drops them unless --keep_duplicates is given"
            if side.name == "train"
            else "remove them, so that no row counts twice",
            fix=prepare_command("--steps duplicates"),
            evidence=tuple(f"{quoted(examples, row)} is equal to {examples[first].origin}" for row, first in pairs),
            figures={"rows": count, "share": round(share, 4)},
            side=side.name,
        )
