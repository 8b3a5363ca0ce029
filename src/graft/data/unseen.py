"""Characters that are not seen: controls, zero-width characters, and marks that reorder text."""

from __future__ import annotations

import re

_CONTROLS = r"\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f"
"""C0 and C1 but tabs, line ends, form feeds, and NEL."""
_ZERO_WIDTH = "\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0000-\U000e007f"
COLOR_CODE = r"\x1b\[[0-9;?]{0,20}[A-Za-z]"
"""A terminal's, which is removed as one."""
UNSEEN = f"{_CONTROLS}{_ZERO_WIDTH}"
"""All of them, for a set in an expression; whether or not a script needs them."""
_LINE_ENDS = r"\r(?!\r*\n)|(?<!\n)\x0c|\x0c(?!\n|\Z)|[\u2028\u2029]"
"""Line ends that programs do not agree on, and form feeds but those on a line of their own, as source code has them."""
_BREAKS = "\r\x0c\u2028\u2029"
_CONTROL = re.compile(rf"(?:{COLOR_CODE})|[{_CONTROLS}]|{_LINE_ENDS}")
_INVISIBLE = re.compile(f"[{_ZERO_WIDTH}]")
_MARKS = "\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069"
"""Directions, which text has where scripts from right to left and others meet."""
_JOINERS = "\u200c\u200d"
_SPACE = "\u200b"
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_WITHOUT_SPACES = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u4e00-\u9fff]")
"""Thai, Lao, Tibetan, Burmese, Khmer, Japanese: a zero-width space may stand between words."""
_FIRST_JOINED = 0x0590
"""Below are Latin, Greek, Cyrillic, and Armenian, whose letters no joiner shapes."""
_BLACK_FLAG = "\U0001f3f4"
"""The emoji of regions begin with it, and are spelled in tags."""


def controls(text: str) -> list[tuple[int, int]]:
    """Return where control characters are, and line ends that are none everywhere; not tabs and usual line ends."""
    return [found.span() for found in _CONTROL.finditer(text)]


def invisible(text: str) -> list[tuple[int, int]]:
    """Return where characters without width are that no script needs at their place.

    Joiners in Persian, Indic scripts and emoji, marks of direction beside Hebrew and Arabic, and zero-width spaces in
    scripts without spaces are text.
    """
    if text.isascii():
        return []
    both_ways = _RIGHT_TO_LEFT.search(text) is not None
    return [found.span() for found in _INVISIBLE.finditer(text) if not _is_text(text, found, both_ways)]


def _is_text(text: str, found: re.Match[str], both_ways: bool) -> bool:
    character, at = found[0], found.start()
    if character in _JOINERS:
        return at > 0 and ord(text[at - 1]) >= _FIRST_JOINED and not _INVISIBLE.match(text[at - 1])
    if character in _MARKS:
        return both_ways
    if character == _SPACE:
        return _WITHOUT_SPACES.search(text[max(0, at - 1) : at + 2]) is not None
    if character >= "\U000e0000":
        return _BLACK_FLAG in text[max(0, at - 7) : at]
    return False


def without_unseen(text: str) -> str:
    """Return a text without the characters that ``controls`` and ``invisible`` find; unusual line ends become usual."""
    while places := [*controls(text), *invisible(text)]:  # again: removing one may leave another without its letter
        parts, at = [], 0
        for start, end in sorted(places):
            parts += [text[at:start], "\n" if text[start] in _BREAKS else ""]
            at = end
        text = "".join((*parts, text[at:]))
    return text
