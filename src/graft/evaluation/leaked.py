"""Rows to judge by that the model was trained on, or nearly so: scores are stated without them, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graft.data.example import Example
from graft.data.example_set import ExampleSet
from graft.data.repeats import find_leaks


@dataclass(frozen=True)
class LeakedRows:
    """Which rows an evaluation should also be read without.

    Attributes:
        is_leaked: For each row whether the training data has its prompt, or a near twin of it.
        known: The number of those whose prompt the training data has.
        near: The number of the others.
    """

    is_leaked: NDArray[np.bool_]
    known: int
    near: int


def leaked_rows(train: ExampleSet, judged: Sequence[Example]) -> LeakedRows | None:
    """Return the rows of ``judged`` that are in ``train``; None where none is.

    Args:
        train: What the model was trained on.
        judged: The rows that it is judged by.
    """
    examples = judged if isinstance(judged, ExampleSet) else ExampleSet.of(list(judged))
    found = find_leaks(train, examples)
    is_known = (found.equal >= 0) | (found.same_prompt >= 0)
    is_near = np.zeros(len(examples), bool)
    if found.near is not None:  # the last answer of a conversation stands for all of them
        is_near = np.isin(examples.origins, examples.origins[found.near.places >= 0]) & ~is_known
    leaked = is_known | is_near
    return LeakedRows(leaked, int(is_known.sum()), int(is_near.sum())) if leaked.any() else None
