"""Words in any script, and what follows from the script of a text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from math import ceil

import regex

from graft.data.spelling import folded

BLANKLESS = ("Hani", "Hira", "Kana", "Bopo", "Thai", "Laoo", "Khmr", "Mymr", "Tale", "Talu", "Lana", "Tavt")
"""ISO 15924 codes of the scripts that put no blanks between words. Hangul does."""
CHARACTERS_A_WORD = 2
"""Of a script without blanks: about the mean of Chinese and Japanese, where it matters how long a text is."""
MANY_KANA = 0.1
"""The share of kana from which a text with Chinese characters is Japanese: it has a half, and Chinese has none."""

_SCRIPTS = "".join(rf"\p{{scx={code}}}" for code in BLANKLESS)
SINGLE_LETTER = rf"[[\p{{L}}\p{{Nl}}]&&[{_SCRIPTS}]]"
"""A pattern (``regex.V1``): a letter of a script without blanks."""
_LETTER = rf"[[\p{{L}}\p{{N}}]--{SINGLE_LETTER}]"
_JOINER = r"[\u200c\u200d]"  # they change what a word is in Persian and in the scripts of India
_LEGACY_CHILLU = r"(?<=\p{ccc=9})\u200d"  # a virama and a joiner, with which words of Malayalam may end
_CHARACTER = rf"{SINGLE_LETTER}(?:{_JOINER}*\p{{M}})*"
_RUN = rf"{_LETTER}(?:{_LETTER}|\p{{M}}|{_JOINER}+(?:(?={_LETTER})|(?=\p{{M}}))|{_LEGACY_CHILLU})*"
_CHARACTERS = regex.compile(_CHARACTER, regex.V1)
_WORDS = regex.compile(f"{_CHARACTER}|{_RUN}", regex.V1)
_PIECES = regex.compile(f"({_CHARACTER}|{_RUN})", regex.V1)
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_INVISIBLE = regex.compile(r"(?V1)[\p{Default_Ignorable_Code_Point}--[\u200c\u200d]]")
_KINDS = {
    "kana": regex.compile(r"[\p{scx=Hira}\p{scx=Kana}]"),
    "han": regex.compile(r"[\p{scx=Hani}\p{scx=Bopo}]"),
    "blankless": regex.compile(SINGLE_LETTER, regex.V1),
    "13a": regex.compile(r"[\p{Latn}\p{Cyrl}\p{Grek}\p{Hang}]"),
    "digits": regex.compile(r"\p{N}"),
}


def words(text: str) -> list[str]:
    """Return the words of a text in any script, in NFC and without letter case.

    A word is a run of letters, digits and their marks; of ASCII text these are the tokens of rouge-score's own
    tokenizer. In scripts without blanks between words each letter with its marks is one. Punctuation, symbols and
    invisible characters (soft hyphens, direction marks) are in no word.

    A letter with its marks is not quite a grapheme cluster (Unicode Standard Annex 29): what those are differs by
    version of Unicode, so that a score would depend on the version of a library.
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    found: list[str] = _WORDS.findall(folded(_INVISIBLE.sub("", text)))
    return found


def pieces(text: str) -> list[str]:
    """Return a text cut into its words, as they are written, and what stands between: every second piece is a word."""
    found: list[str] = _PIECES.split(text)
    return found


def length_in_words(text: str) -> int:
    """Return about how many words a text has: the parts between blanks, of which two letters are one without them."""
    if text.isascii():
        return len(text.split())
    return sum(map(_length_of_part, text.split()))


def _length_of_part(part: str) -> int:
    rest, characters = _CHARACTERS.subn(" ", part)
    others = bool(characters and words(rest))
    return max(1, ceil(int(characters) / CHARACTERS_A_WORD) + others)


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
