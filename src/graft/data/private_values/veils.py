"""What hides numbers and addresses from a search by form, and from no reader: other blanks, dashes, tags, entities."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from graft.data.unseen import COLOR_CODE, UNSEEN

_BLANKS = (0x00A0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)
_DASHES = (*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63)
_ALIKE = (
    dict.fromkeys(_BLANKS, " ")
    | dict.fromkeys(_DASHES, "-")
    | {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}  # of full width
    | {0xFE6B: "@"}
)
_INLINE = "a|b|big|code|em|font|i|nobr|s|small|span|strike|strong|sub|sup|tt|u|wbr"
"""Tags that part no words."""
_VEIL = re.compile(
    rf"</?(?:{_INLINE})(?:\s[^<>]{{0,500}})?/?>"
    r"|(?P<entity>&(?:amp;){0,5}(?P<name>[a-z]{2,10};|#\d{1,7};|#x[0-9a-f]{1,6};))"
    rf"|(?P<escaped>%40)|{COLOR_CODE}|[{UNSEEN}]",
    re.IGNORECASE,
)
_UNSEEN = re.compile(f"[{UNSEEN}]")
_FIRST = re.compile(f"[<&%{UNSEEN}]")

Change = tuple[int, int, str]
"""Where a part of a text begins and ends, and what is in its place."""


class Copy(NamedTuple):
    """A text with some parts replaced, and for each of its characters where the original of it begins and ends."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return where the original of a part that is not empty begins and ends."""
        return self.starts[start], self.ends[end - 1]


def replaced(text: str, changes: Iterable[Change], start: int = 0, end: int | None = None) -> Copy:
    """Return a part of a text with changes.

    Args:
        text: The text.
        changes: What is replaced within the part, in order.
        start: Where the part begins.
        end: Where it ends; None for the end of the text.
    """
    end = len(text) if end is None else end
    parts: list[str] = []
    starts, ends, at = list[int](), list[int](), start
    for first, last, instead in changes:
        parts += [text[at:first], instead]
        starts += [*range(at, first), *(first for _ in instead)]
        ends += [*range(at + 1, first + 1), *(last for _ in instead)]
        at = last
    if not parts:
        return Copy(text[start:end], range(start, end), range(start + 1, end + 1))
    starts += range(at, end)
    ends += range(at + 1, end + 1)
    return Copy("".join((*parts, text[at:end])), starts, ends)


def in_plain_form(text: str) -> str:
    """Return a text of the same length with blanks, dashes, and letters of full width as ASCII has them."""
    return text if text.isascii() else text.translate(_ALIKE)


def without_veils(text: str) -> Copy | None:
    """Return a text without tags that part no words, entities, and what nobody sees; None if it has none of them.

    Args:
        text: The text in plain form.
    """
    veils = list(_veils(text))
    return replaced(text, veils) if veils else None


def _veils(text: str) -> Iterator[Change]:
    at = 0
    for first in _FIRST.finditer(text):
        found = _VEIL.match(text, first.start()) if first.start() >= at else None
        if found is None:
            continue
        at, instead = found.end(), "@" if found["escaped"] else ""
        if found["entity"]:
            instead = in_plain_form(html.unescape(f"&{found['name']}"))
            if len(instead) != 1:  # no entity
                continue
            instead = _UNSEEN.sub("", instead)
        yield (*found.span(), instead)
