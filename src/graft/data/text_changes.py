"""Small changes of a text that leave its meaning, for more training rows.

Words are never taken out or misspelled where they are in the answer, and links, names after ``@`` and ``#``, and
numbers stay as they are. Leaving out and misspelling words is as in EDA (Wei & Zou 2019, arXiv:1901.11196), at a rate
of one word in ten; negations are not left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from random import Random

from graft.data.spelling import folded

RATE = 0.1
"""The share of a text's words that is changed; at least one."""
SHORTEST = 4
"""The fewest letters of a word that is misspelled, and the fewest words of a text that loses one."""
_NEGATIONS = """
no not never none nothing nobody neither nor without cannot hardly barely
kein keine keinen keinem keiner nicht nie niemals ohne
ne pas jamais sans rien non mai senza niente nunca nada sin não nem sem niet geen nooit zonder
"""
NEGATIONS = frozenset(_NEGATIONS.split())
_TOKEN = re.compile(r"\S+")
_CORE = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_FIXED = re.compile(r"^[@#]|://|^www\.|\d|^[:;=8xX][-']?[()DPpOo/|\\]+$")


def change_case(text: str, random: Random, kept: Collection[str]) -> str:
    """Return the text in small letters, in capitals, or with the case of its first letter changed."""
    forms: list[Callable[[str], str]] = [str.lower, str.upper]
    random.shuffle(forms)
    changed = [*(_cased(text, form, kept) for form in forms), text[:1].swapcase() + text[1:]]
    return next((form for form in changed if form != text), text)


def _cased(text: str, form: Callable[[str], str], kept: Collection[str]) -> str:
    return _TOKEN.sub(lambda found: found[0] if _is_fixed(found[0], kept) else form(found[0]), text)


def misspell(text: str, random: Random, kept: Collection[str]) -> str:
    """Return the text with a slip of the fingers in some words: letters swapped, lost, or doubled."""
    spans = [
        found.span()
        for token in _TOKEN.finditer(text)
        if not _is_fixed(token[0], kept)
        for found in [_CORE.search(text, *token.span())]
        if found is not None and found.end() - found.start() >= SHORTEST
    ]
    for start, stop in sorted(random.sample(spans, _number(spans)), reverse=True):
        text = text[:start] + _slip(text[start:stop], random) + text[stop:]
    return text


def _slip(word: str, random: Random) -> str:
    """The first letter stays: people read by it."""
    place = random.randrange(1, len(word) - 1)
    pair = word[place : place + 2]
    swapped = word[:place] + pair[::-1] + word[place + 2 :]
    choices = [word[:place] + word[place + 1 :], word[:place] + word[place] + word[place:]]
    return random.choice([swapped, *choices] if pair[0] != pair[1] else choices)


def drop_words(text: str, random: Random, kept: Collection[str]) -> str:
    """Return the text without some of its words."""
    tokens = list(_TOKEN.finditer(text))
    free = [token.span() for token in tokens if not _is_fixed(token[0], kept) and not _negates(token[0])]
    if len(tokens) < SHORTEST or not free:
        return text
    for start, stop in sorted(random.sample(free, _number(free)), reverse=True):
        text = (text[:start] + text[stop:].lstrip()) if text[stop:].strip() else text[:start].rstrip()
    return text


def _negates(token: str) -> bool:
    word = folded(token).replace("’", "'")
    return "n't" in word or bool(NEGATIONS & set(_CORE.findall(word)))


def _is_fixed(token: str, kept: Collection[str]) -> bool:
    if _FIXED.search(token):
        return True
    return any(word in kept for word in re.findall(r"\w+", folded(token)))


def _number(spans: Collection[object]) -> int:
    return min(len(spans), max(1, round(RATE * len(spans))))


CHANGES: Mapping[str, Callable[[str, Random, Collection[str]], str]] = {
    "case": change_case,
    "typos": misspell,
    "word_dropout": drop_words,
}
"""(text, random numbers, words to keep) -> the changed text, which may be the same."""
