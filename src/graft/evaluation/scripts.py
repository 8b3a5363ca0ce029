"""The tokenizer of BLEU for the script of some texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import regex

from graft.data.words import SINGLE_LETTER, words

MANY_KANA = 0.1
"""The share of kana from which a text with Chinese characters is Japanese: it has a half, and Chinese has none."""
_KINDS = {
    "kana": regex.compile(r"[\p{scx=Hira}\p{scx=Kana}]"),
    "han": regex.compile(r"[\p{scx=Hani}\p{scx=Bopo}]"),
    "blankless": regex.compile(SINGLE_LETTER, regex.V1),
    "13a": regex.compile(r"[\p{Latn}\p{Cyrl}\p{Grek}\p{Hang}]"),
    "digits": regex.compile(r"\p{N}"),
}


def bleu_tokenizer(texts: Iterable[str]) -> str:
    """Return the name of sacrebleu's tokenizer for the script that most words of ``texts`` are in.

    - ``zh`` for Chinese, as WMT does.
    - ``char`` for Japanese, Thai, Lao, Khmer and Burmese. ``ja-mecab`` needs a dictionary: the score would depend on
      what is installed.
    - ``13a``, the default of WMT, for Latin, Cyrillic, Greek and Korean, whose punctuation is that of ASCII.
    - ``intl`` for all others: it knows their punctuation, such as the danda of Hindi and the comma of Arabic.
    """
    counts: Counter[str] = Counter()
    for word, count in Counter(word for text in texts for word in words(text)).items():
        counts[_kind(word)] += count
    counts["cjk"] = counts["han"] + counts["kana"]
    groups = ("13a", "cjk", "blankless", "intl")
    most = max(groups, key=lambda name: counts[name])  # of equal ones the first
    if most == "cjk" and counts["cjk"]:
        return "char" if counts["kana"] >= MANY_KANA * counts["cjk"] else "zh"
    return {"blankless": "char"}.get(most, most)


def _kind(word: str) -> str:
    return next((kind for kind, letters in _KINDS.items() if letters.match(word)), "intl")
