"""Texts that Unicode counts as the same: one form of each, with or without letter case."""

from __future__ import annotations

from unicodedata import is_normalized, normalize

DOTTED = "i\N{COMBINING DOT ABOVE}"
"""What ``casefold`` makes of the Turkish capital İ, whose small letter is i."""


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
