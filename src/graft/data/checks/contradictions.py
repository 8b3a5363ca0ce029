"""Prompts that have several answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from graft.data.checks.base import Finding, many
from graft.data.checks.quoted import at, opening
from graft.data.checks.view import CheckedData, Side
from graft.data.example_set import ExampleSet, Places
from graft.data.personal import shown_text
from graft.data.repeats import find_contradictions

LONG_ANSWER = 200
"""Characters of an answer from which on several may be right, such as of functions and stories."""


class Contradictions:
    """Rows whose prompts are exactly equal, and whose answers are not.

    Near twins with other answers are no contradiction: they are usually right.
    """

    name = "contradictions"
    title = "Contradictions"
    quick = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for each side with such rows."""
        for side in data.own_sides:
            found = self._in(replace(side, examples=data.asking(side)))
            if found is not None:
                yield found

    def _in(self, side: Side) -> Finding | None:
        examples = side.examples
        found = find_contradictions(examples)
        if not len(found.places):
            return None
        prompts = np.unique(found.leaders)
        rows = at(examples, found.places)
        lengths = [len(examples[place].reference) for place in found.places[:100].tolist()]
        is_long = float(np.mean(lengths)) > LONG_ANSWER
        return Finding(
            "contradictions",
            "note" if is_long else "warning",
            f"{many(len(rows), 'row')}: {many(len(prompts), 'prompt has', 'prompts have')} different answers",
            rows,
            why="a model cannot learn which one is right"
            + (f"; with answers of {np.mean(lengths):,.0f} characters several may be" if is_long else ""),
            remedy="keep the right answer of each, or give several right ones in one row as a list",
            evidence=tuple(self._shown(examples, found.places[found.leaders == one]) for one in prompts[:5].tolist()),
            figures={"rows": len(rows), "prompts": len(prompts)},
            side=side.name,
        )

    def _shown(self, examples: ExampleSet, places: Places) -> str:
        _, first = np.unique(examples.targets[places], return_index=True)
        several = [examples[place] for place in places[np.sort(first)][:3].tolist()]
        answers = ", ".join(f"“{shown_text(example.reference)}” ({example.origin})" for example in several)
        return f"“{shown_text(several[0].prompt_text.removeprefix(opening(examples)))}”: {answers}"
