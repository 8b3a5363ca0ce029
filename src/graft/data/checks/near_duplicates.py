"""Rows that are nearly equal to an earlier one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from graft.data.checks.base import Finding, Severity, many, prepare_command
from graft.data.checks.duplicates import LARGE_SHARE
from graft.data.checks.quoted import at, quoted
from graft.data.checks.view import CheckedData, Side
from graft.data.example_set import ExampleSet, Places, first_places
from graft.data.near import THRESHOLD, Clusters, compared_places, near_clusters
from graft.data.repeats import near_repeats


class NearDuplicates:
    """Rows whose prompts have most of their character 5-grams in common."""

    name = "near_duplicates"
    title = "Near duplicates"
    quick = False

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for near duplicates with the same answer, and one for others, for each side with such."""
        for side in (_compared(data, side) for side in data.own_sides):
            found = _clusters(side.examples)
            repeats, others = _by_answer(side.examples, found)
            if len(repeats):
                yield self._repeated(side, found, repeats)
            if len(others):
                yield self._others(side, found, others)

    def _repeated(self, side: Side, found: Clusters, chosen: Places) -> Finding:
        share = len(chosen) / len(side.rows or side.examples)
        verb = "repeats" if len(chosen) == 1 else "repeat"
        return self._finding(
            side,
            found,
            chosen,
            "near_duplicates",
            "warning" if share >= LARGE_SHARE else "note",
            f"{many(len(chosen), 'row')} nearly {verb} an earlier row, with the same answer",
            "the model learns what they repeat at the cost of the rest",
            "remove them, unless the small difference is what is to be learned",
            prepare_command("--steps near_duplicates"),
        )

    def _others(self, side: Side, found: Clusters, chosen: Places) -> Finding:
        return self._finding(
            side,
            found,
            chosen,
            "near_twins",
            "note",
            f"{many(len(chosen), 'row is a near twin', 'rows are near twins')} of another row, with another answer",
            "usually both are right, as where only a number differs; with labels one may be wrong",
            "look at some of them",
            "",
        )

    def _finding(
        self,
        side: Side,
        found: Clusters,
        chosen: Places,
        kind: str,
        severity: Severity,
        title: str,
        why: str,
        remedy: str,
        fix: str,
    ) -> Finding:
        examples = side.examples
        share = len(chosen) / len(side.rows or examples)
        shown = [(place, found.twins[place], found.similarities[place]) for place in chosen[:5].tolist()]
        counts, edges = np.histogram(found.similarities[chosen], bins=4, range=(THRESHOLD, 1))
        return Finding(
            kind,
            severity,
            title,
            at(examples, chosen),
            why=f"{share:.1%} of the rows have a Jaccard index of their 5-grams ≥ {THRESHOLD} with another: {why}",
            remedy=remedy,
            fix=fix,
            evidence=tuple(
                f"{quoted(examples, row)} is like {quoted(examples, int(twin))}: Jaccard index {value:.2f}"
                for row, twin, value in shown
            ),
            figures={
                "rows": len(chosen),
                "share": round(share, 4),
                "similarity": {"counts": counts.tolist(), "edges": np.round(edges, 3).tolist()},
            },
            side=side.name,
        )


def _compared(data: CheckedData, side: Side) -> Side:
    """The side with one example of each row that asks something and is no copy that a program made."""
    examples = data.asking(side).originals()
    return replace(side, examples=examples.take(compared_places(examples)))


def _clusters(examples: ExampleSet) -> Clusters:
    """What is near each other where each prompt, compared exactly, counts once: no copy of a row is its near twin."""
    first = first_places(examples.inputs)
    distinct = np.unique(first)
    found = near_clusters(examples.take(distinct))
    at_first = np.searchsorted(distinct, first)
    twins = np.where(found.twins < 0, -1, distinct[found.twins])[at_first]
    return Clusters(distinct[found.leaders][at_first], twins, found.similarities[at_first])


def _by_answer(examples: ExampleSet, found: Clusters) -> tuple[Places, Places]:
    """The rows that repeat an earlier one of their cluster, and those with another answer than all before them.

    Rows that are equal to an earlier one are in neither, nor are those whose prompt is exactly that of an earlier one.
    """
    places = np.arange(len(examples))
    is_new = first_places(examples.inputs) == places
    is_repeat = near_repeats(examples, found) >= 0
    is_other = (found.twins >= 0) & ~is_repeat & (found.leaders != places)
    return np.flatnonzero(is_new & is_repeat), np.flatnonzero(is_new & is_other)
