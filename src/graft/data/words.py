"""Words in any script."""

from __future__ import annotations

import re
from math import ceil

import regex

from graft.data.spelling import folded, visible

BLANKLESS = ("Hani", "Hira", "Kana", "Bopo", "Thai", "Laoo", "Khmr", "Mymr", "Tale", "Talu", "Lana", "Tavt")
"""ISO 15924 codes of the scripts that put no blanks between words. Hangul does."""
CHARACTERS_A_WORD = 2
"""Of a script without blanks: about the mean of Chinese and Japanese, where it matters how long a text is."""

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
_TAGGED = regex.compile(rf"{_CHARACTER}|(?:{_RUN}|_)+|\S", regex.V1)
_ASCII_WORD = re.compile(r"[a-z0-9]+")


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
    found: list[str] = _WORDS.findall(folded(visible(text)))
    return found


def pieces(text: str) -> list[str]:
    """Return a text cut into its words, as they are written, and what stands between: every second piece is a word."""
    found: list[str] = _PIECES.split(text)
    return found


def tagged_pieces(text: str) -> list[tuple[int, int]]:
    """Return where the words of a text and its other characters but blanks begin and end, as they are tagged.

    Unlike in ``words`` an underscore is part of a word, and punctuation counts.
    """
    return [match.span() for match in _TAGGED.finditer(text)]


def words_to_tag(text: str) -> list[str]:
    """Return the parts between blanks; those of scripts without blanks letter by letter."""
    found: list[str] = []
    for part in text.split():
        single = _CHARACTERS.search(part) is not None
        found += [part[start:end] for start, end in tagged_pieces(part)] if single else [part]
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
