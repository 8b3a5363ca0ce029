"""Free text: exact match, token F1, ROUGE and BLEU."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache, partial
from typing import Any

import numpy as np

from graft.evaluation.metrics.base import Array, Metric, Predictions, mean_metric

_WORD = re.compile(r"[^\W_]+")
_ORDER = 4


def words(text: str) -> list[str]:
    """Return lower-case words of any alphabet; for ASCII, the tokens of rouge-score's own tokenizer."""
    return _WORD.findall(text.lower())


def exact(reference: str, answer: str) -> float:
    """Return 1 if the two are equal except for blanks around them, else 0."""
    return float(reference.strip() == answer.strip())


def token_f1(reference: str, answer: str) -> float:
    """Return the F1 of the two bags of words (Rajpurkar et al. 2016, SQuAD, without its rules for English articles)."""
    wanted, found = Counter(words(reference)), Counter(words(answer))
    if not wanted or not found:
        return float(wanted == found)
    return 2 * (wanted & found).total() / (wanted.total() + found.total())


class _Words:
    def tokenize(self, text: str) -> list[str]:
        """Called by rouge-score, whose own tokenizer drops all but ASCII letters and digits."""
        return words(text)


@cache
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_Words())


def _rouge(name: str, title: str, meaning: str, aliases: tuple[str, ...] = ()) -> Metric:
    """Make one of the ROUGE metrics: the mean F-measure over rows (Lin 2004)."""

    def score(reference: str, answer: str) -> float:
        return float(_rouge_scorer().score(reference, answer)[name].fmeasure)

    return mean_metric(name, score, title=title, meaning=meaning, hub_name="rouge", aliases=aliases)


@cache
def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(effective_order=True)


def _bleu_statistics(predictions: Predictions) -> Array:
    """Return counts (n, 10): lengths of answer and reference, hits and n-grams of orders 1 to 4."""
    assert predictions.answers is not None
    found = []
    for reference, answer in zip(predictions.references, predictions.answers, strict=True):
        score = _bleu().sentence_score(answer, [reference])
        found.append([score.sys_len, score.ref_len, *score.counts, *score.totals])
    return np.array(found, dtype=float)


def _bleu_value(sums: Array) -> Array:
    """Return corpus BLEU, 0 to 100 (Papineni et al. 2002), with the smoothing of sacrebleu (Post 2018).

    Answers too short for n-grams of order 4 are scored by the orders they have, so that single rows have a value.
    """
    compute = partial(_bleu().compute_bleu, smooth_method="exp", effective_order=True)
    return np.array(
        [
            compute(
                correct=row[2 : 2 + _ORDER].astype(int).tolist(),
                total=row[2 + _ORDER :].astype(int).tolist(),
                sys_len=int(row[0]),
                ref_len=int(row[1]),
            ).score
            for row in sums
        ]
    )


EXACT_MATCH = mean_metric(
    "exact_match", exact, meaning="share of rows whose generated answer equals the reference", aliases=("em", "exact")
)
TOKEN_F1 = mean_metric(
    "token_f1",
    token_f1,
    title="token F1",
    meaning="F1 of the words shared with the reference",
    hub_name="f1",
)
ROUGE_1 = _rouge("rouge1", "ROUGE-1", "words shared with the reference")
ROUGE_2 = _rouge("rouge2", "ROUGE-2", "word pairs shared with the reference")
ROUGE_L = _rouge("rougeL", "ROUGE-L", "longest word sequence shared with the reference", ("rouge",))
BLEU = Metric(
    name="bleu",
    title="BLEU",
    meaning="word sequences shared with the reference, 0 to 100",
    digits=2,
    scale=100.0,
    statistics=_bleu_statistics,
    value=_bleu_value,
)
