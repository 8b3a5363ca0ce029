"""Near duplicates: rows whose prompts have most of their character 5-grams in common.

MinHash signatures (Broder 1997, "On the resemblance and containment of documents") in bands find the pairs that may be
near. The Jaccard index of each such pair is then computed as it is, so that no row is called near that is not. Letter
case and blanks do not count, nor does what the texts begin with, nor shingles that more than half of them have, which
are those of a template. Of a conversation all messages before the last answer are compared; of texts over 20,000
characters the first and the last 10,000. Texts of less than 14 characters are near no other, unless they are equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.data.components import Components
from graft.data.example import Example
from graft.data.example_set import ExampleSet, Hashes, Places, first_places, prompt_key
from graft.data.shingles import (
    FEWEST_SAMPLED,
    Bands,
    band_keys,
    common_opening,
    jaccard,
    shingles,
    shortened,
    template_shingles,
)
from graft.data.spelling import folded
from graft.data.spool import Spool

PARAGRAPH = "\n\n"
THRESHOLD = 0.8
"""From this Jaccard index on two texts are near."""
MOST_COMPARED = 32
"""In a group with an equal key, texts that each other text is compared with: 10⁵ alike take no 10¹⁰ comparisons."""
MOST_FAILED = 1_000
"""In such a group, comparisons of texts that are not near, besides one for each that are."""
MOST_PAIRS = 4_096
"""Pairs of two sets in such a group, unless one of them has more texts in it."""

Similarities = NDArray[np.float64]


class Clusters(NamedTuple):
    """Rows of one set that are near each other, directly or by way of others.

    Attributes:
        leaders: For each example the place of the first one in its cluster; its own where no row is near. Of the
            examples of one row only the last is in a cluster.
        twins: The place of an example that each is near; -1 where there is none.
        similarities: The Jaccard index of the two: 1 where only letter case and blanks differ, if anything; 0 where
            there is no twin.
    """

    leaders: Places
    twins: Places
    similarities: Similarities


class Twins(NamedTuple):
    """The nearest example of one set to each of another's.

    Attributes:
        places: The place of the twin; -1 where there is none.
        similarities: The Jaccard index; 0 where there is no twin.
    """

    places: Places
    similarities: Similarities


def near_clusters(examples: ExampleSet, threshold: float = THRESHOLD) -> Clusters:
    """Return the rows that are near each other.

    Args:
        examples: The rows.
        threshold: The least Jaccard index of a pair.
    """
    compared = compared_places(examples)
    texts = _Texts([examples.take(compared)])
    found = _Nearest(len(texts))
    equal = np.flatnonzero(texts.has_text & (texts.firsts != np.arange(len(texts))))
    for place, first in zip(equal.tolist(), texts.firsts[equal].tolist(), strict=True):
        found.unite(place, first, 1.0)
    for members in texts.buckets(threshold):
        _unite(members.tolist(), texts, threshold, found)
    leaders, twins, similarities = np.arange(len(examples)), np.full(len(examples), -1), np.zeros(len(examples))
    leaders[compared] = compared[found.components.leaders()]
    twins[compared] = np.where(found.twins < 0, -1, compared[found.twins])
    similarities[compared] = found.similarities
    return Clusters(leaders, twins, similarities)


def near_twins(examples: ExampleSet, others: ExampleSet, threshold: float = THRESHOLD) -> Twins:
    """Return for each of ``examples`` the row of ``others`` that is nearest.

    Args:
        examples: The rows to find twins of.
        others: The rows that these are sought in.
        threshold: The least Jaccard index of a pair.
    """
    sought, compared = compared_places(examples), compared_places(others)
    texts = _Texts([others.take(compared), examples.take(sought)])
    first = len(compared)
    candidates = _Candidates()
    for members in texts.buckets(threshold):
        candidates.add(members[members < first], members[members >= first])
    best = np.full(len(texts), -1)
    similarity = np.zeros(len(texts))
    for one, other in candidates:
        found = texts.similarity(one, other)
        if found >= threshold and found > similarity[one]:
            best[one], similarity[one] = other, found
    best, similarity = best[texts.firsts], similarity[texts.firsts]
    equal = (texts.firsts < first) & texts.has_text
    best[equal], similarity[equal] = texts.firsts[equal], 1.0
    twins, similarities = np.full(len(examples), -1), np.zeros(len(examples))
    twins[sought] = np.where(best[first:] < 0, -1, compared[np.maximum(best[first:], 0)]) if first else -1
    similarities[sought] = similarity[first:]
    return Twins(twins, similarities)


def compared_places(examples: ExampleSet) -> Places:
    """Return the place of the last example of each row, whose prompt has the whole conversation before it."""
    origins = examples.origins
    return np.flatnonzero(np.append(origins[1:] != origins[:-1], True)) if len(origins) else np.zeros(0, np.int64)


class _Texts:
    """The prompts of some sets, one set behind the other; those that are equal count once.

    Attributes:
        firsts: For each prompt the place of the first that is equal.
        has_text: Whether the prompt is not empty.
    """

    def __init__(self, sets: Sequence[ExampleSet]) -> None:
        keys: Hashes = np.concatenate([examples.prompts for examples in sets])
        self.firsts, self.has_text = first_places(keys), keys != 0
        is_first = self.has_text & (self.firsts == np.arange(len(keys)))
        self._places = np.flatnonzero(is_first)
        self._texts = Spool(_distinct(sets, is_first))
        opening = common_opening(self._texts) or _common_paragraphs(sets, is_first)
        if opening:
            self._texts = Spool(text.removeprefix(opening) for text in self._texts)
        self._template = template_shingles(self._texts)
        self._shingles = lru_cache(maxsize=16)(self._read)

    def __len__(self) -> int:
        return len(self.firsts)

    def similarity(self, one: int, other: int) -> float:
        """Return the Jaccard index of the prompts at two places."""
        return jaccard(self._shingles(one), self._shingles(other))

    def _read(self, place: int) -> set[str]:
        return shingles(self._texts[int(np.searchsorted(self._places, place))]) - self._template

    def buckets(self, threshold: float) -> Iterator[Places]:
        """Yield the places, in their order, of prompts that have an equal key and may be near."""
        bands = Bands.for_threshold(threshold)
        parts = list(band_keys(self._texts, self._template, bands))
        for band in range(1, 1 + bands.keys if parts else 1):
            keys = np.concatenate([part[part[:, 0] > 0, band] for part in parts])
            order = np.argsort(keys, kind="stable")
            bounds = np.flatnonzero(np.diff(keys[order], prepend=keys[order][:1] + 1, append=keys[order][-1:] + 1))
            filled = np.concatenate([part[:, 0] > 0 for part in parts])
            places = self._places[filled][order]
            for number in np.flatnonzero(np.diff(bounds) > 1).tolist():
                yield places[bounds[number] : bounds[number + 1]]


def _distinct(sets: Sequence[ExampleSet], is_first: NDArray[np.bool_]) -> Iterator[str]:
    return map(_text, _chosen(sets, is_first))


def _chosen(sets: Sequence[ExampleSet], chosen: NDArray[np.bool_]) -> Iterator[Example]:
    start = 0
    for examples in sets:
        yield from examples.take(chosen[start : start + len(examples)])
        start += len(examples)


def _common_paragraphs(sets: Sequence[ExampleSet], is_first: NDArray[np.bool_]) -> str:
    """The paragraphs that few prompts begin with, such as an instruction, as ``prompt_key`` has them.

    Words that these have in common may be what makes them near.
    """
    if not 1 < int(is_first.sum()) < FEWEST_SAMPLED:
        return ""
    texts = [example.input_text for example in _chosen(sets, is_first)]
    first, last = min(texts), max(texts)
    length = next((place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), 0)
    shared = " ".join(folded(first[: max(0, first.rfind(PARAGRAPH, 0, length))]).split())
    return f"{shared} " if shared else ""


def _text(example: Example) -> str:
    return shortened(prompt_key(example))


class _Nearest:
    """What is near, and of each text the nearest of those that it was compared with."""

    def __init__(self, size: int) -> None:
        self.components = Components(size)
        self.twins, self.similarities = np.full(size, -1), np.zeros(size)

    def unite(self, one: int, other: int, similarity: float) -> None:
        """Record that two texts are near."""
        self.components.unite(one, other)
        for place, twin in ((one, other), (other, one)):
            if similarity > self.similarities[place]:
                self.twins[place], self.similarities[place] = twin, similarity


def _unite(members: Sequence[int], texts: _Texts, threshold: float, found: _Nearest) -> None:
    """Unite those members of a bucket that are near each other.

    In a large bucket a member that is near one of the first is compared with no further one.
    """
    is_small = len(members) <= MOST_COMPARED
    find = found.components.find
    compared: list[int] = []
    failed = 0
    for member in members:
        joined = False
        for other in compared:
            if find(member) != find(other):
                similarity = texts.similarity(member, other)
                if similarity < threshold:
                    failed += 1
                    continue
                failed -= 1
                found.unite(member, other, similarity)
            joined = True
            if not is_small:
                break
        if failed > MOST_FAILED:
            return
        if is_small or (not joined and len(compared) < MOST_COMPARED):
            compared.append(member)


class _Candidates:
    """Pairs of an example and one of the other set, each once: 8 bytes a pair."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.uint64]] = []
        self._added = 0

    def add(self, known: Places, asked: Places) -> None:
        """Add the pairs of one bucket."""
        if not len(known) or not len(asked):
            return
        known = known[: max(1, min(MOST_COMPARED, MOST_PAIRS // len(asked)))]
        pairs = (asked[:, None] << 32) + known[None, :]
        self._parts.append(pairs.ravel().astype(np.uint64))
        self._added += pairs.size
        if self._added > 1 << 20:
            self._merge()

    def _merge(self) -> None:
        self._parts = [np.unique(np.concatenate(self._parts))] if self._parts else []
        self._added = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        self._merge()
        for part in self._parts:
            for pair in part.tolist():
                yield pair >> 32, pair & 0xFFFFFFFF
