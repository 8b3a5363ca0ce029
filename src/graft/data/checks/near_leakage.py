"""Rows that models are judged by and that have a near twin in the training data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.data.checks.base import Finding, Severity
from graft.data.checks.leakage import judged, leak
from graft.data.checks.view import CheckedData
from graft.data.near import THRESHOLD
from graft.data.repeats import find_leaks


class NearLeakage:
    """Rows that are not equal to one of the training data, but nearly so."""

    name = "near_leakage"
    title = "Near leakage"
    quick = False

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for twins with the same answer, and one for others, for each side with such rows."""
        train = data.asking(data.train)
        for side in judged(data):
            near = find_leaks(train, side.examples).near
            assert near is not None
            is_near = near.places >= 0
            same = is_near.copy()
            same[is_near] = side.examples.references[is_near] == train.references[near.places[is_near]]
            is_text = train[0].prompt_text == "" if len(train) else False
            unanswered = is_near & ((side.examples.references == 0) | is_text)
            what = f"of the training data (Jaccard index of their 5-grams ≥ {THRESHOLD})"
            kinds: tuple[tuple[NDArray[np.bool_], str, Severity], ...] = (
                (same, ", with the same answer", "warning"),
                (unanswered & ~same, "", "warning"),
                (is_near & ~same & ~unanswered, ", with another answer", "note"),
            )
            for chosen, answer, severity in kinds:
                if chosen.any():
                    said = (f"is a near twin {what}{answer}", f"are near twins {what}{answer}")
                    places = np.where(chosen, near.places, -1)
                    yield leak("near_leakage", severity, side, train, places, said, "near_duplicates")
