"""Rows that are equal to another one."""

from __future__ import annotations

import numpy as np

from graft.config import Settings
from graft.data.duplicates import find_duplicates
from graft.data.example_set import ExampleSet, content
from graft.data.repeats import find_leaks
from graft.data.steps.base import JUDGED, Sides, StepContext
from graft.data.steps.repeated import Repeated, examples_of_sides, without_repeated


class Duplicates:
    """Of equal rows the first stays, and no evaluation row is in train.

    Rows are compared as ``graft finetune`` compares them: by all that is read and learned. Rows that a program added
    stay: they may be copies on purpose.
    """

    name = "duplicates"
    title = "remove rows that are equal to an earlier one, or to an evaluation row"
    safe = True
    Config = Settings

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the sides without such rows.

        Raises:
            InputError: If the columns are not recognized.
        """
        examples = examples_of_sides(sides, context)
        found = dict(sides)
        for side, own in examples.items():
            repeated = [_equal_to_earlier(own)]
            if side == "train":
                judged = [examples[name] for name in JUDGED if name in examples]
                repeated += [_equal_to_judged(own, each) for each in judged]
            found[side] = without_repeated(sides[side], own, repeated, self.name, side, context)
        return found


def _equal_to_judged(examples: ExampleSet, judged: ExampleSet) -> Repeated:
    """What hashes find is compared as it is, as it is for all rows that are removed."""
    twins = find_leaks(judged, examples, None).equal
    for place in np.flatnonzero(twins >= 0).tolist():
        if content(examples[place]) != content(judged[int(twins[place])]):
            twins[place] = -1
    return Repeated(twins, judged, "equal to")


def _equal_to_earlier(examples: ExampleSet) -> Repeated:
    duplicates = find_duplicates(examples)
    twins = np.full(len(examples), -1)
    twins[duplicates.repeated] = duplicates.firsts
    return Repeated(twins, examples, "equal to")
