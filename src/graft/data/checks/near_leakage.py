"""Rows that models are judged by and that have a near twin in the training data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

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
        train = data.train.examples
        for side in judged(data):
            near = find_leaks(train, side.examples).near
            assert near is not None
            same = near.places >= 0
            same[same] = side.examples.references[same] == train.references[near.places[same]]
            what = f"of the training data (Jaccard index of their 5-grams ≥ {THRESHOLD})"
            for chosen, answer in ((same, "the same answer"), ((near.places >= 0) & ~same, "another answer")):
                if chosen.any():
                    said = (f"is a near twin {what}, with {answer}", f"are near twins {what}, with {answer}")
                    places = np.where(chosen, near.places, -1)
                    severity: Severity = "warning" if chosen is same else "note"
                    yield leak("near_leakage", severity, side, train, places, said, "near_duplicates")
