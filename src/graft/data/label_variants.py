"""Labels that may be the same one: in several spellings, as plural, with other punctuation, or mistyped."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import regex

from graft.data.classes import folded_label

Reason: TypeAlias = Literal["spelling", "punctuation", "plural", "typo"]

REASONS: dict[Reason, str] = {
    "spelling": "letter case, blanks, or the form of Unicode",
    "punctuation": "punctuation",
    "plural": "a plural",
    "typo": "one or two letters",
}
MUCH_RARER = 10
"""A mistyped label is at least so many times rarer than the right one."""
SHORTEST = 4
"""Letters of a label that may be mistyped: of shorter ones, most others are as near."""
LONG = 8
"""Letters from which two may be wrong."""
MOST_LABELS = 2_000
"""Labels that are compared with each other; more are no classes."""


@dataclass(frozen=True)
class Variant:
    """A label that may be another.

    Attributes:
        label: The label.
        of: The one that it may be.
        reason: What tells them apart.
    """

    label: str
    of: str
    reason: Reason


def find_variants(counts: Mapping[str, int]) -> list[Variant]:
    """Return the labels that may be a more common one, by how alike they are; each label once.

    Args:
        counts: The number of rows of each label.
    """
    labels = sorted(counts, key=lambda label: (-counts[label], label != folded_label(label), label))[:MOST_LABELS]
    found: dict[str, tuple[str, Reason]] = {}
    for reason, key in _FORMS:
        for label, of in _alike(labels, key):
            if label not in found and (reason == "spelling" or _is_word(label, of)):
                found[label] = (of, reason)
    for number, label in enumerate(labels):
        right = next((other for other in labels[:number] if _mistyped(label, other, counts)), None)
        if label not in found and right is not None:
            found[label] = (right, "typo")
    return [_traced(label, found) for label in labels if label in found]


def _traced(label: str, found: Mapping[str, tuple[str, Reason]]) -> Variant:
    """The label that a variant stands for in the end: that of ``Positve`` and of ``positve`` is ``positive``."""
    of, reason = found[label]
    while of in found:
        of, other = found[of]
        reason = other if reason == "spelling" else reason
    return Variant(label, of, reason)


def _alike(labels: list[str], key: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """Each label with the most common one that has the same key."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        groups[key(label)].append(label)
    for first, *others in groups.values():
        yield from ((other, first) for other in others)


def _is_word(label: str, of: str) -> bool:
    """Whether signs may be no part of a label: not those of ``B-LOC`` and of ``-1``."""
    return bool(_bare(label)) and not _is_code(label) and not _is_code(of)


def _bare(label: str) -> str:
    """The label in letters and digits alone, with one blank between words: ``Not-OK!`` is ``not ok``."""
    return " ".join(regex.sub(r"[^\p{L}\p{M}\p{N}+#]+", " ", folded_label(label)).split())


def _singular(label: str) -> str:
    """The label with its last word as a singular of English."""
    bare = _bare(label)
    if len(bare) < SHORTEST or re.search(r"(ss|us|is)\Z", bare):
        return bare
    if bare.endswith("ies"):
        return bare[:-3] + "y"
    return bare[:-2] if re.search(r"(x|z|ch|sh|ss)es\Z", bare) else bare.removesuffix("s")


def _is_code(label: str) -> bool:
    """Whether a label is a code and no word: it has digits, or a tag's prefix."""
    return bool(re.search(r"\d", label) or re.match(r"[BIOESLU]-", label))


_FORMS: tuple[tuple[Reason, Callable[[str], str]], ...] = (
    ("spelling", folded_label),
    ("punctuation", _bare),
    ("plural", _singular),
)


def _mistyped(label: str, right: str, counts: Mapping[str, int]) -> bool:
    """Whether ``label`` may be ``right``, mistyped: far rarer, and one word is one or two letters away.

    Words are seldom mistyped at their first letter, and opposites often differ there: ``legal`` and ``illegal``,
    ``like`` and ``unlike``, ``internal`` and ``external``.
    """
    if counts[right] < MUCH_RARER * counts[label] or _is_code(label) or _is_code(right):
        return False
    rare, common = _bare(label).split(), _bare(right).split()
    if len(rare) != len(common):
        return False
    differing = [(one, other) for one, other in zip(rare, common, strict=True) if one != other]
    if len(differing) != 1:
        return False
    one, other = differing[0]
    shortest = min(len(one), len(other))
    most = 2 if shortest >= LONG else 1
    same_start = one[:1] == other[:1] or sorted(one[:2]) == sorted(other[:2])
    longer = any(long.startswith(short) for long, short in ((one, other), (other, one)))
    if shortest < SHORTEST or not same_start or (longer and len(one) > len(other) + 1):
        return False
    return abs(len(one) - len(other)) <= most and _distance(one, other, most) <= most


def _distance(one: str, other: str, most: int) -> int:
    """Letters to add, remove, replace, or swap with a neighbor (Damerau 1964); beyond ``most`` it is not exact."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        earlier, before, row = before, row, [number] + [0] * len(other)
        for place, sign in enumerate(other, 1):
            row[place] = min(before[place] + 1, row[place - 1] + 1, before[place - 1] + (letter != sign))
            if number > 1 and place > 1 and letter == other[place - 2] and one[number - 2] == sign:
                row[place] = min(row[place], earlier[place - 2] + 1)
        if min(row) > most:
            return most + 1
    return row[-1]
