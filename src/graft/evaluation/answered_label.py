"""The class that a written answer names."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

NO_LABEL = ""
"""Stands for an answer that is none of the labels: no class has an empty name."""
AROUND = " \t\r\n.,;:!?\"'`*_()[]{}<>“”„‘’«»。、！？।"
"""Blanks and punctuation around an answer, such as a period, quotes or bold type."""


def answered_label(answer: str, labels: Sequence[str]) -> str:
    """Return the label that ``answer`` is, or ``NO_LABEL``.

    An answer is a label if both are equal but for blanks around them; else if exactly one label is equal to it in any
    case and without punctuation around. A label within a sentence does not count.

    Args:
        answer: What the model wrote.
        labels: The classes.
    """
    same = [label for label in labels if label.strip() == answer.strip()]
    if not same:
        same = [label for label in labels if _folded(label) == _folded(answer)]
    return same[0] if len(same) == 1 else NO_LABEL


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip(AROUND).casefold()
