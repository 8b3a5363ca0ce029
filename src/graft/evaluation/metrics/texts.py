"""Free text: exact match, and the words shared with the reference (token F1, ROUGE)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import regex

from graft.data.spelling import composed
from graft.data.words import words
from graft.evaluation.metrics.base import Metric, mean_metric

_SYMBOL = regex.compile(r"[\p{S}--\p{ASCII}]", regex.V1)


def exact(reference: str, answer: str) -> float:
    """Return 1 if the two are equal in NFC, except for blanks around them, else 0."""
    return float(composed(reference).strip() == composed(answer).strip())


def token_f1(reference: str, answer: str) -> float:
    """Return the F1 of the two bags of words (Rajpurkar et al. 2016, SQuAD, without its rules for English articles).

    Of two texts without words it is 1 if their symbols beyond ASCII, such as emoji, are equal.
    """
    wanted, found = Counter(words(reference)), Counter(words(answer))
    if not wanted or not found:
        return float(wanted == found and _SYMBOL.findall(reference) == _SYMBOL.findall(answer))
    return 2 * (wanted & found).total() / (wanted.total() + found.total())


class _Words:
    def tokenize(self, text: str) -> list[str]:
        """Called by rouge-score, whose own tokenizer drops all but ASCII letters and digits."""
        return words(text)


@cache
def _rouge_scorer(name: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([name], tokenizer=_Words())


def _n_grams(name: str, reference: str, answer: str) -> float:
    return float(_rouge_scorer(name).score(reference, answer)[name].fmeasure)


def rouge_l(reference: str, answer: str) -> float:
    """Return ROUGE-L as rouge-score defines it, but quick for long texts of characters, too."""
    from rouge_score.scoring import fmeasure

    wanted, found = words(reference), words(answer)
    shared = longest_common_subsequence(wanted, found)
    return float(fmeasure(shared / len(found), shared / len(wanted))) if shared else 0.0


def longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence (Hyyrö 2004, "Bit-parallel LCS-length …").

    A bit for each word of ``one`` is 0 where the length grows by one.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    whole = row = (1 << len(one)) - 1
    for word in other:
        matches = row & places.get(word, 0)
        row = (row + matches | row - matches) & whole
    return len(one) - row.bit_count()


def _rouge(
    name: str, title: str, meaning: str, score: Callable[[str, str], float], aliases: tuple[str, ...] = ()
) -> Metric:
    """Make one of the ROUGE metrics: the mean F-measure over rows (Lin 2004)."""
    return mean_metric(name, score, title=title, meaning=meaning, hub_name="rouge", compares_text=True, aliases=aliases)


EXACT_MATCH = mean_metric(
    "exact_match",
    exact,
    meaning="share of rows whose generated answer equals the reference",
    compares_text=True,
    aliases=("em", "exact"),
)
TOKEN_F1 = mean_metric(
    "token_f1",
    token_f1,
    title="token F1",
    meaning="F1 of the words shared with the reference",
    hub_name="f1",
    compares_text=True,
)
ROUGE_1 = _rouge("rouge1", "ROUGE-1", "words shared with the reference", partial(_n_grams, "rouge1"))
ROUGE_2 = _rouge("rouge2", "ROUGE-2", "word pairs shared with the reference", partial(_n_grams, "rouge2"))
ROUGE_L = _rouge("rougeL", "ROUGE-L", "longest word sequence shared with the reference", rouge_l, ("rouge",))
