"""Personal data and secrets in texts: found by form and check digit, and masked wherever graft shows a row."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from graft.data.private_values.domains import ENDINGS
from graft.data.private_values.keys import keys, private_keys
from graft.data.private_values.national_ids import ids
from graft.data.private_values.payment import cards, ibans
from graft.data.private_values.phones import phones
from graft.data.private_values.veils import in_plain_form, replaced, without_veils
from graft.plain_text import escape_controls, lone_surrogate, mask_secrets

KINDS = ("private key", "key", "e-mail", "IBAN", "card", "id", "phone")
"""What is found. Where two overlap, the earlier kind is taken."""

SECRETS = frozenset(("private key", "key"))
"""What gives access: it has to be revoked, too."""

_DIGITS = re.compile(r"[0-9](?:[ ().\-/]{0,3}[0-9]){6}")
_DIGIT = re.compile(r"[0-9]")
_LETTERED = re.compile(r"[A-Z][A-Z] ?[0-9][0-9]|[a-z][a-z][0-9][0-9]")
"""IBANs and identity numbers with fewer than seven digits in a row."""
_LONG = re.compile(r"\b[A-Za-z0-9+/_.-]{15}")
"""What a key has, and few words of a text."""
_ADDRESS = re.compile(r"\w@\w")
_EMAIL = re.compile(r"(?<![\w.%+'-])[\w%+-][\w.%+'-]{0,63}@((?:[^\W_][\w-]{0,62}\.){1,8})([A-Za-z]{2,18})(?![\w@-])")
_ADDRESS_OF_HOST = re.compile(r":[\w~/]")
"""``git@github.com:owner/name``."""
_WINDOW = 20_000
_SHORT = 80
_AROUND = 25
_REACH, _EDGE = 200, 100
"""Characters on each side of what was found that are looked at again; at the outer ones a number may be cut."""
_UNSEEN = {0x0A: "\\n", 0x09: "\\t"} | {
    code: f"\\u{code:04x}" for code in (0x00AD, 0x061C, 0x180E, *range(0x200B, 0x2010), *range(0x2060, 0x2065), 0xFEFF)
}


class Found(NamedTuple):
    """Personal data in a text: the kind, and where it begins and ends."""

    kind: str
    start: int
    end: int


def find(text: str) -> list[Found]:
    """Return the personal data and secrets in a text, in order; none overlaps another.

    Blanks, dashes, and digits of other forms are read as those of ASCII, and tags within words, entities, and
    characters that nobody sees are looked through: ``<b>jo</b>&#64;example.com`` is an address.

    Args:
        text: A text of a row.
    """
    plain = in_plain_form(text)
    taken = _settled(plain)
    bare = without_veils(plain)
    if bare is None:
        return taken
    for found in _settled(bare.text):
        start, end = bare.original(found.start, found.end)
        beside = _overlapped(taken, start, end)
        if all(start <= each.start and each.end <= end for each in taken[beside]):
            taken[beside] = [Found(found.kind, start, end)]
    return taken


def _settled(text: str) -> list[Found]:
    """What is in a text, and what is found only once what stands beside it is masked, as in a row of numbers."""
    taken = _scanned(text)
    windows = _around(taken, len(text))
    while windows:
        new = [found for start, end in windows for found in _within(text, taken, start, end)]
        for found in new:
            taken[_overlapped(taken, found.start, found.end)] = [found]
        windows = _around(new, len(text))
    return taken


def _around(found: Sequence[Found], length: int) -> list[tuple[int, int]]:
    """The parts of a text of this length around what was found."""
    windows: list[tuple[int, int]] = []
    for each in sorted(found, key=_START):
        start, end = max(0, each.start - _REACH), min(length, each.end + _REACH)
        if windows and start <= windows[-1][1]:
            windows[-1] = (windows[-1][0], max(end, windows[-1][1]))
        else:
            windows.append((start, end))
    return windows


def _within(text: str, taken: list[Found], start: int, end: int) -> Iterator[Found]:
    """What is found in a part of a text besides what is taken, which is masked there."""
    masks = taken[_overlapped(taken, start, end)]
    if masks:
        start, end = min(start, masks[0].start), max(end, masks[-1].end)
    part = replaced(text, _masks(masks), start, end)
    first, last = start and start + _EDGE, end if end == len(text) else end - _EDGE
    for found in _scanned(part.text):
        each = Found(found.kind, *part.original(found.start, found.end))
        if first <= each.start and each.end <= last and each not in masks:
            yield each


def _scanned(text: str) -> list[Found]:
    taken: list[Found] = []
    for kind, finder in _finders(text):
        kept, last = [], 0
        for start, end in sorted(finder(text)):
            if start >= last and not taken[_overlapped(taken, start, end)]:
                kept.append(Found(kind, start, end))
                last = end
        taken = sorted((*taken, *kept), key=_START) if kept else taken
    return taken


_START, _END = attrgetter("start"), attrgetter("end")


def _overlapped(taken: list[Found], start: int, end: int) -> slice:
    """Those of what is taken, in order, that overlap a part; where none does, the place between them."""
    first = bisect_right(taken, start, key=_END)
    return slice(first, max(first, bisect_left(taken, end, key=_START)))


def _masks(places: Iterable[Found]) -> Iterator[tuple[int, int, str]]:
    return ((found.start, found.end, f"[{found.kind}]") for found in places)


def masked(text: str) -> str:
    """Return a text with ``[e-mail]``, ``[phone]``, … in place of personal data and secrets."""
    return replaced(text, _masks(find(text))).text


def visible_text(text: str) -> str:
    """Return a text from data for a page or a document: masked, with control characters visible; its lines stay."""
    return _visible(masked(text))


def _visible(text: str) -> str:
    visible = escape_controls(text)
    if lone_surrogate(visible):
        visible = visible.encode("utf-8", "backslashreplace").decode("utf-8")
    return visible


def shown_text(text: str, most: int = _SHORT) -> str:
    """Return a text of a row for a message: masked, on one line, with control characters visible, and shortened.

    Args:
        text: The text.
        most: The maximum number of characters.
    """
    hidden = mask_secrets(masked(text[:_WINDOW]))
    if len(text) > _WINDOW:  # the last word may be the first half of an address
        hidden = hidden[: -_WINDOW // 10]
    visible = _visible(hidden[: most + 1].translate(_UNSEEN))
    return visible if len(visible) <= most else f"{visible[: most - 1]}…"


def shown_around(text: str, start: int, end: int) -> str:
    """Return a part of a text with some of what is around it, as ``shown_text`` does; "…" stands for half a word.

    Args:
        text: The text.
        start: Where the part begins.
        end: Where it ends.
    """
    # The whole is masked before it is cut: half of a number or of a key is not recognized, and tells as much.
    hidden = replaced(text, _masks(find(text)))
    first = bisect_right(hidden.ends, start)
    last = max(first, bisect_left(hidden.starts, end))
    begin, until = max(0, first - _AROUND), last + _AROUND
    shown = shown_text(hidden.text[begin:until])
    cut = _cuts_word(hidden.text, until) and not shown.endswith("…")
    return f"{'…' if _cuts_word(hidden.text, begin) else ''}{shown}{'…' if cut else ''}"


def _cuts_word(text: str, place: int) -> bool:
    """Whether a text that is cut at a place is cut within a word."""
    return 0 < place < len(text) and not text[place - 1].isspace() and not text[place].isspace()


def _finders(text: str) -> Iterator[tuple[str, Callable[[str], Iterator[tuple[int, int]]]]]:
    """The finders that can find something in a text, by a look that takes a few microseconds."""
    if _LONG.search(text) or "://" in text:
        yield from (("private key", private_keys), ("key", keys))
    if "@" in text and _ADDRESS.search(text):
        yield "e-mail", _emails
    if not _DIGIT.search(text):
        return
    digits = _DIGITS.search(text)
    if digits or _LETTERED.search(text):
        yield from (("IBAN", ibans), ("card", cards), ("id", ids))
    if digits:
        yield "phone", phones


def _emails(text: str) -> Iterator[tuple[int, int]]:
    for found in _EMAIL.finditer(text):
        domain, ending = found[1], found[2].lower()
        known = ending in ENDINGS or len(ending) == 2
        if known and not domain[0].isdigit() and not _ADDRESS_OF_HOST.match(text, found.end()):
            yield found.span()
