"""Rows whose prompt stands elsewhere, too: with another answer, or on the other side of a split."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from graft.data.duplicates import row_keys
from graft.data.example_set import ExampleSet, Hashes, Places, first_places, pair_hashes
from graft.data.near import THRESHOLD, Clusters, Twins, near_twins


class Contradictions(NamedTuple):
    """Examples of one prompt that have different answers.

    Attributes:
        places: The examples.
        leaders: For each of them the place of the first with its prompt.
    """

    places: Places
    leaders: Places


def find_contradictions(examples: ExampleSet) -> Contradictions:
    """Return the examples whose prompt, compared exactly, has another answer elsewhere."""
    leaders = first_places(examples.inputs)
    answers = np.unique(first_places(pair_hashes(examples.inputs, examples.targets)))
    counts = np.bincount(leaders[answers], minlength=len(leaders))
    places = np.flatnonzero((counts[leaders] > 1) & (examples.prompts != 0))
    return Contradictions(places, leaders[places])


def near_repeats(examples: ExampleSet, found: Clusters) -> Places:
    """Return, for each example, the first of its cluster with the same answer; -1 for that itself, and for others.

    Texts without a prompt have no answer that could be another.
    """
    places = np.arange(len(examples))
    is_text = len(examples) > 0 and examples[0].prompt_text == ""
    answers = np.zeros_like(examples.references) if is_text else examples.references
    first = first_places(pair_hashes(found.leaders.astype(np.uint64), answers))
    return np.where((found.twins >= 0) & (first != places), first, -1)


class Leaks(NamedTuple):
    """For each example of a side that models are judged by, where the training data has it; -1 where it has not.

    Attributes:
        equal: A row that is equal in all.
        same_prompt: An example with the same prompt, but for letter case and blanks, where no row is equal.
        near: The nearest row, where there is none of the others; None if it was not sought.
    """

    equal: Places
    same_prompt: Places
    near: Twins | None = None

    @property
    def places(self) -> Places:
        """The first of these that there is."""
        found = np.where(self.equal >= 0, self.equal, self.same_prompt)
        return found if self.near is None else np.where(found >= 0, found, self.near.places)


def find_leaks(train: ExampleSet, judged: ExampleSet, threshold: float | None = THRESHOLD) -> Leaks:
    """Return the examples of ``judged`` that training has too, or nearly so.

    Args:
        train: The rows that are trained on.
        judged: The rows that models are judged by.
        threshold: The least Jaccard index of near twins; None seeks none.
    """
    equal = _first_in(row_keys(train), row_keys(judged))
    same = np.where((equal < 0) & (judged.prompts != 0), _first_in(train.prompts, judged.prompts), -1)
    if threshold is None:
        return Leaks(equal, same)
    twins = near_twins(judged, train, threshold)
    is_new = (equal < 0) & (same < 0)
    return Leaks(equal, same, Twins(np.where(is_new, twins.places, -1), np.where(is_new, twins.similarities, 0.0)))


def _first_in(keys: Hashes, sought: Hashes) -> Places:
    """The place of the first of ``keys`` that is equal to each that is sought; -1 where none is."""
    known, first = np.unique(keys, return_index=True)
    if not len(known):
        return np.full(len(sought), -1, np.int64)
    at = np.minimum(np.searchsorted(known, sought), len(known) - 1)
    return np.where(known[at] == sought, first[at], -1)
