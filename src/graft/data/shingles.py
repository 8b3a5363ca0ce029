"""Character 5-grams of texts, their MinHash signatures, and the Jaccard index of two texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.data.example_set import Hashes

LENGTH = 5
"""Characters of a shingle; a shorter text is one."""
FEWEST = 10
"""Shingles of a text that can be near another one: in a shorter one each character counts ("room 1", "room 12")."""
LONGEST = 20_000
"""Characters that are compared: of a longer text the first and the last half of these."""
PERMUTATIONS = 128
SEED = 42
SAMPLE = 200
SAMPLE_LONGEST = 4_000
FEWEST_SAMPLED = 10
CHARACTERS_AT_ONCE = 1 << 18
_BLANK = "\0" * LENGTH
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return the first and the last part of a text that is longer than what is compared."""
    return text if len(text) <= longest else f"{text[: longest // 2]}\n{text[-longest // 2 :]}"


def shingles(text: str) -> set[str]:
    """Return the 5-grams of a text."""
    return {text[start : start + LENGTH] for start in range(max(1, len(text) - LENGTH + 1))} if text else set()


def jaccard(one: set[str], other: set[str]) -> float:
    """Return the share of the shingles of two texts that both have; 0 where one has less than ten."""
    both = len(one & other)
    return both / (len(one) + len(other) - both) if min(len(one), len(other)) >= FEWEST else 0.0


def common_opening(texts: Sequence[str]) -> str:
    """Return the words that the texts begin with, such as an instruction; of less than ten texts none.

    It is estimated from 200 of them.
    """
    chosen = [texts[place] for place in _sampled(len(texts))]
    if not chosen:
        return ""
    first, last = min(chosen), max(chosen)
    length = next((place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), 0)
    return first[: first.rfind(" ", 0, length) + 1]


def template_shingles(texts: Sequence[str]) -> frozenset[str]:
    """Return the shingles that more than half of the texts have, such as those of an instruction that all begin with.

    They say nothing about which texts are alike. They are estimated from 200 of the texts, evenly spaced; of less than
    ten texts there are none.
    """
    chosen = _sampled(len(texts))
    counts: Counter[str] = Counter()
    for number, place in enumerate(chosen):
        found = shingles(shortened(texts[place], SAMPLE_LONGEST))
        if number > len(chosen) // 2:  # one that was not seen in half of the texts cannot be in more than half
            found = {shingle for shingle in found if shingle in counts}
        counts.update(found)
    return frozenset(shingle for shingle, count in counts.items() if 2 * count > len(chosen))


def _sampled(count: int) -> list[int]:
    """Evenly spaced places: 200 at most, and none of few."""
    if count < FEWEST_SAMPLED:
        return []
    return np.unique(np.linspace(0, count - 1, min(SAMPLE, count)).astype(np.int64)).tolist()  # type: ignore[no-any-return]


class Bands(NamedTuple):
    """How a signature is cut into keys: texts are compared if one of their keys is equal.

    Attributes:
        keys: The number of keys of a text.
        rows: The values of a signature in each.
    """

    keys: int
    rows: int

    @classmethod
    def for_threshold(cls, threshold: float) -> Bands:
        """Return the widest bands by which at least 99 % of the pairs at the threshold are found.

        A pair of Jaccard index s has an equal key with probability 1 - (1 - s^rows)^keys (Leskovec, Rajaraman &
        Ullman, "Mining of Massive Datasets", section 3.4.2).
        """
        for rows in range(16, 1, -1):
            found = cls(PERMUTATIONS // rows, rows)
            if (1 - threshold**rows) ** found.keys <= 0.01:
                return found
        return cls(PERMUTATIONS, 1)


def band_keys(texts: Iterable[str], without: Iterable[str], bands: Bands) -> Iterator[NDArray[np.uint32]]:
    """Yield the keys of texts, some texts at once: shape (texts, 1 + bands); the first is 0 for one that is too short.

    Args:
        texts: The texts.
        without: The shingles that do not count.
        bands: The keys.
    """
    from rensa import RMinHash

    left_out = np.sort(np.array([_hashes(shingle.ljust(LENGTH, "\0"))[0] for shingle in without], np.uint64))
    for part in _parts(texts):
        hashes, offsets = _flat(part, left_out)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, PERMUTATIONS, SEED)
        signatures = np.array(matrix.to_rows(), np.uint64)
        keys = np.zeros((len(part), 1 + bands.keys), np.uint32)
        keys[:, 0] = np.diff(offsets) >= FEWEST
        for band in range(bands.keys):
            mixed = np.zeros(len(part), np.uint64)
            for value in range(band * bands.rows, (band + 1) * bands.rows):
                mixed = (mixed + signatures[:, value] + np.uint64(1)) * _FACTOR
                mixed ^= mixed >> np.uint64(29)
            keys[:, 1 + band] = mixed >> np.uint64(32)
        yield keys


def _parts(texts: Iterable[str]) -> Iterator[list[str]]:
    part: list[str] = []
    characters = 0
    for text in texts:
        part.append(text)
        characters += len(text)
        if characters > CHARACTERS_AT_ONCE or len(part) > CHARACTERS_AT_ONCE // 64:
            yield part
            part, characters = [], 0
    if part:
        yield part


def _flat(texts: Sequence[str], left_out: Hashes) -> tuple[Hashes, Hashes]:
    """The hashes of the shingles of texts, one text after the other, and where each begins; the last is the end."""
    hashes = _hashes(_BLANK.join([*texts, ""]))
    lengths = np.array([len(text) for text in texts], np.int64)
    starts = np.append(0, np.cumsum(lengths + LENGTH))[:-1]
    counts = np.where(lengths > 0, np.maximum(lengths - LENGTH + 1, 1), 0)
    ends = np.cumsum(counts)
    chosen = np.repeat(starts - (ends - counts), counts) + np.arange(ends[-1])
    found = hashes[chosen]
    if len(left_out):
        at = np.minimum(np.searchsorted(left_out, found), len(left_out) - 1)
        kept = left_out[at] != found
        ends = np.append(0, np.cumsum(kept))[ends]
        found = found[kept]
    return np.ascontiguousarray(found), np.append(0, ends).astype(np.uint64)


def _hashes(text: str) -> Hashes:
    """A hash of the five characters from each place on."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    count = len(codes) - LENGTH + 1
    mixed = np.zeros(max(count, 0), np.uint64)
    for place in range(LENGTH):
        mixed = (mixed + codes[place : place + count]) * _FACTOR
        mixed ^= mixed >> np.uint64(32)
    return mixed
