"""Texts that are the same although their characters differ: one form of each, with or without letter case."""

from __future__ import annotations

from unicodedata import is_normalized, normalize

import regex

DOTTED = "i\N{COMBINING DOT ABOVE}"
"""What ``casefold`` makes of the Turkish capital İ, whose small letter is i."""

_INVISIBLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}--[\u200c\u200d]]", regex.V1)


def visible(text: str) -> str:
    """Return ``text`` without invisible characters, such as soft hyphens, direction marks and blanks of no width.

    Joiners and non-joiners stay: with them words look different in Persian and in the scripts of India.
    """
    return text if text.isascii() else str(_INVISIBLE.sub("", text))


def composed(text: str) -> str:
    """Return ``text`` in Unicode's form NFC: ``e`` with a combining accent is ``é``."""
    return text if text.isascii() or is_normalized("NFC", text) else normalize("NFC", text)


def folded(text: str) -> str:
    """Return ``text`` in NFC without letter case (Unicode 16, section 3.13, D145: canonical caseless matching).

    Unlike ``str.lower`` it makes one of ``ß`` and ``SS``, of ``σ`` and ``ς``, and of ``İ`` and ``i``. The dotless ``ı``
    stays another letter, as ``I`` is the capital of both, and of ASCII it is the same as ``str.lower``.
    """
    if text.isascii():
        return text.lower()
    return normalize("NFC", normalize("NFD", text).casefold().replace(DOTTED, "i"))
