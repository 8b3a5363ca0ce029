"""Rows that are nearly equal to another one."""

from __future__ import annotations

import numpy as np

from graft.config import Settings, setting
from graft.data.example_set import ExampleSet
from graft.data.near import THRESHOLD, near_clusters, near_twins
from graft.data.repeats import near_repeats
from graft.data.steps.base import JUDGED, Sides, StepContext
from graft.data.steps.repeated import Repeated, examples_of_sides, without_repeated


class NearDuplicatesSettings(Settings):
    """How near rows are."""

    near_threshold: float = setting(
        THRESHOLD, "minimum Jaccard index of the character 5-grams of two near duplicates", gt=0, le=1
    )


class NearDuplicates:
    """Of the rows of train that are near each other and have the same answer the first stays.

    Rows with other answers stay: a small difference may be what is to be learned. Rows with a near twin that models
    are judged by go, whatever their answer.
    """

    name = "near_duplicates"
    title = "remove training rows that are nearly equal to an earlier one, or to an evaluation row"
    safe = False
    Config = NearDuplicatesSettings

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the sides without such rows; repeated until none is left, as what rows have in common may change.

        Raises:
            InputError: If the columns are not recognized.
        """
        threshold = context.config.near_threshold
        found = dict(sides)
        while "train" in found:
            examples = examples_of_sides(found, context)
            train = examples.get("train")
            if train is None:
                break
            judged = [examples[name] for name in JUDGED if name in examples]
            twins = [Repeated(near_twins(train, each, threshold).places, each, "nearly equal to") for each in judged]
            repeated = [*twins, _like_earlier(train, threshold)]
            kept = without_repeated(found["train"], train, repeated, self.name, "train", context)
            done = len(kept) == len(found["train"])
            found["train"] = kept
            if done:
                break
        return found


def _like_earlier(examples: ExampleSet, threshold: float) -> Repeated:
    """Rows that a program added are neither dropped nor compared with: they are like others on purpose."""
    own = np.flatnonzero(examples.sources == 0)
    compared = examples.take(own)
    found = near_repeats(compared, near_clusters(compared, threshold))
    twins = np.full(len(examples), -1)
    twins[own] = np.where(found < 0, -1, own[found]) if len(own) else -1
    return Repeated(twins, examples, "nearly equal to")
