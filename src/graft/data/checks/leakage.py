"""Rows that models are judged by and that the training data has, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from graft.data.checks.base import Finding, Severity, many, prepare_command
from graft.data.checks.quoted import at, first_rows, quoted
from graft.data.checks.view import CheckedData, Side
from graft.data.example_set import ExampleSet, Places
from graft.data.repeats import find_leaks


def judged(data: CheckedData) -> Iterator[Side]:
    """Yield the sides that must not be in the training data."""
    for side in (data.eval, data.against):
        if side is not None and len(data.asking(side)):
            yield replace(side, examples=data.asking(side))


class Leakage:
    """Rows that are equal, and rows with equal prompts."""

    name = "leakage"
    title = "Leakage"
    quick = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for rows that are equal, and one for equal prompts, for each side with such rows."""
        train = data.asking(data.train)
        for side in judged(data):
            found = find_leaks(train, side.examples, threshold=None)
            in_train = ("is also in the training data", "are also in the training data")
            same_prompt = ("has a prompt of the training data", "have prompts of the training data")
            kinds = ((found.equal, in_train, "duplicates"), (found.same_prompt, same_prompt, "near_duplicates"))
            for places, said, step in kinds:
                if (places >= 0).any():
                    yield leak("leakage", "warning", side, train, places, said, step)


def leak(
    kind: str, severity: Severity, side: Side, train: ExampleSet, places: Places, said: tuple[str, str], step: str
) -> Finding:
    """Return what is said of rows that are in the training data.

    Args:
        kind: The finding's kind.
        severity: Its severity.
        side: The side that models are judged by.
        train: The training rows.
        places: For each example of the side its place in ``train``; -1 where it has none.
        said: What is said of one row, and of several.
        step: The step of ``graft prepare`` that removes them.
    """
    examples, leaked = side.examples, np.flatnonzero(places >= 0)
    rows, whole, given = at(examples, leaked), len(first_rows(examples)), side.name == "eval"
    named = ("held-out row", "held-out rows") if given else ("row of --against", "rows of --against")
    pairs = zip(leaked[:5].tolist(), places[leaked[:5]].tolist(), strict=True)
    sure = "are" if severity == "warning" else "may be"
    remedy = "remove the rows of the training data that are named" if given else "remove them from one of the two"
    return Finding(
        kind,
        severity,
        f"{many(len(rows), *named)} {said[0] if len(rows) == 1 else said[1]}",
        rows,
        why=f"{len(rows) / whole:.1%} of the {whole:,} {named[1]}: scores on them {sure} too high",
        remedy=remedy,
        fix=prepare_command(f"--steps {step}") if given else "",
        evidence=tuple(f"{quoted(examples, row)} is trained on as {quoted(train, twin)}" for row, twin in pairs),
        figures={"rows": len(rows), "share": round(len(rows) / whole, 4)},
        side=side.name,
    )
