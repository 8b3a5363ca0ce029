"""Tags: whole entities, as seqeval counts them, and single tags. Texts are tags with blanks between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from graft.data.spelling import composed
from graft.evaluation.metrics.base import Array, Metric, Predictions, ratio

OUTSIDE = "O"
Entity = tuple[str, int, int]
_PREFIXES = ("B-", "I-", "E-", "S-")


def has_prefixes(rows: Iterable[str]) -> bool:
    """Return whether the tags mark where an entity begins (BIO, IOBES), as plain ones do not."""
    return all(tag == OUTSIDE or tag.startswith(_PREFIXES) for row in rows for tag in row.split())


def entities(tags: str, prefixed: bool) -> set[Entity]:
    """Return (kind, first word, last word) of each entity, as conlleval and seqeval define them (Tjong Kim Sang 2002).

    Runs of the same plain tag are one entity.
    """
    from seqeval.metrics.sequence_labeling import get_entities

    listed = tags.split()
    if not prefixed:
        listed = [
            tag if tag == OUTSIDE else f"{'I' if place and listed[place - 1] == tag else 'B'}-{tag}"
            for place, tag in enumerate(listed)
        ]
    return set(get_entities(listed))


def _pairs(predictions: Predictions) -> Iterator[tuple[str, str]]:
    """Yield the tags of the reference and of the answer of each row, in NFC."""
    assert predictions.answers is not None
    for reference, answer in zip(predictions.references, predictions.answers, strict=True):
        yield composed(reference), composed(answer)


def _found(predictions: Predictions) -> list[tuple[set[Entity], set[Entity]]]:
    """Return the entities of the reference and of the answer, for each row."""
    prefixed = has_prefixes(predictions.references)
    return [(entities(reference, prefixed), entities(answer, prefixed)) for reference, answer in _pairs(predictions)]


def _statistics(predictions: Predictions) -> Array:
    """Return counts (n, 3): entities that are right, in the answer, in the reference."""
    return np.array([[len(w & g), len(g), len(w)] for w, g in _found(predictions)], dtype=float)


def _f1(sums: Array) -> Array:
    """Return 2 right / (answered + reference) over all rows (micro-F1)."""
    return ratio(np.stack([2 * sums[:, 0], sums[:, 1] + sums[:, 2]], axis=1))


def _by_kind(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """Return precision, recall, F1 and support of each kind of entity."""
    right: Counter[str] = Counter()
    given: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for reference, answer in _found(predictions):
        right.update(kind for kind, *_ in reference & answer)
        given.update(kind for kind, *_ in answer)
        wanted.update(kind for kind, *_ in reference)
    return {
        kind: {
            "precision": right[kind] / given[kind] if given[kind] else 0.0,
            "recall": right[kind] / wanted[kind] if wanted[kind] else 0.0,
            "f1": 2 * right[kind] / (given[kind] + wanted[kind]),
            "support": wanted[kind],
        }
        for kind in sorted(given | wanted)
    }


def _tag_statistics(predictions: Predictions) -> Array:
    """Return counts (n, 2): tags that are right, and tags."""
    pairs = [(reference.split(), answer.split()) for reference, answer in _pairs(predictions)]
    return np.array([[_equal(wanted, given), len(wanted)] for wanted, given in pairs], dtype=float)


def _equal(wanted: Sequence[str], given: Sequence[str]) -> int:
    return sum(one == other for one, other in zip(wanted, given, strict=False))


ENTITY_F1 = Metric(
    name="entity_f1",
    title="entity F1",
    meaning="F1 of the entities; an entity counts if its span and its type are correct",
    hub_name="f1",
    support_unit="entities",
    statistics=_statistics,
    value=_f1,
    by_class=_by_kind,
    aliases=("seqeval",),
)
ENTITY_PRECISION = Metric(
    name="entity_precision",
    meaning="share of the predicted entities that are correct",
    hub_name="precision",
    statistics=_statistics,
    value=lambda sums: ratio(sums[:, [0, 1]]),
)
ENTITY_RECALL = Metric(
    name="entity_recall",
    meaning="share of the reference entities that the model finds",
    hub_name="recall",
    statistics=_statistics,
    value=lambda sums: ratio(sums[:, [0, 2]]),
)
TAG_ACCURACY = Metric(
    name="tag_accuracy",
    meaning="share of words with the correct tag",
    hub_name="accuracy",
    statistics=_tag_statistics,
    value=ratio,
)
