"""Text that was decoded with a wrong encoding: ``cafÃ©`` for ``café``."""

from __future__ import annotations

import re

_ABOUT_ENCODINGS = re.compile(
    r"utf-?(?:8|16)|latin-?\s?1|mojibake|\b(?:mis)?(?:en|de)cod(?:e|ed|es|ing|ings)\b|charset|unicode|codec|cp-?1252"
    r"|windows-?1252|iso-?8859",
    re.IGNORECASE,
)
"""A text about encodings shows such characters on purpose."""
_CYRILLIC_PAIR = re.compile("(?<=[A-Za-z])Г[^\x00-\x7f]|Г[^\x00-\x7f](?=[A-Za-z])")
"""``garГ§on``: the two bytes of a Western letter read as Windows-1251, which ftfy takes for Cyrillic."""


def repaired(text: str) -> str:
    """Return a text as it was before it was decoded with a wrong encoding; the same text where it was not.

    Only characters that are unlikely beside one another (``ftfy.badness``) are looked at, and only a change that leaves
    fewer of them is made: not quotation marks, widths, or ligatures, as ``ftfy.fix_text`` changes.

    Args:
        text: A text of a row.
    """
    if text.isascii() or _ABOUT_ENCODINGS.search(text):
        return text
    if "Г" in text:
        text = _CYRILLIC_PAIR.sub(_western, text)
    from ftfy import fix_encoding
    from ftfy.badness import badness

    bad = badness(text)
    while bad:
        better = fix_encoding(text)
        left = badness(better)
        if better == text or left >= bad:
            return text
        text, bad = better, left
    return text


def _western(pair: re.Match[str]) -> str:
    try:
        return pair[0].encode("cp1251").decode("utf-8")
    except UnicodeError:
        return pair[0]


def first_difference(before: str, after: str) -> int:
    """Return where two texts begin to differ."""
    return next((n for n, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), len(after))
