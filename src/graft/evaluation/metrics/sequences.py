"""BLEU and chrF: sequences that answers share with the references, as sacrebleu counts them (Post 2018)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from graft.data.spelling import composed
from graft.evaluation.metrics.base import Array, Metric, Predictions
from graft.evaluation.scripts import bleu_tokenizer
from graft.runs.metric_info import USUAL_TOKENIZER

_ORDER = 4


@cache
def _bleu(tokenizer: str) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(effective_order=True, tokenize=tokenizer)


@cache
def _chrf(word_order: int) -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(word_order=word_order)


def _texts(predictions: Predictions) -> Iterator[tuple[str, list[str]]]:
    """Yield the answer to each row and its references, in NFC."""
    assert predictions.answers is not None
    for accepted, answer in zip(predictions.accepted, predictions.answers, strict=True):
        yield composed(answer), list(map(composed, accepted))


def _bleu_statistics(tokenizer: str, predictions: Predictions) -> Array:
    """Return counts (n, 10): lengths of answer and closest reference, hits and n-grams of orders 1 to 4."""
    found = []
    for answer, references in _texts(predictions):
        score = _bleu(tokenizer).sentence_score(answer, references)
        found.append([score.sys_len, score.ref_len, *score.counts, *score.totals])
    return np.array(found, dtype=float)


def _bleu_value(sums: Array) -> Array:
    """Return corpus BLEU, 0 to 100 (Papineni et al. 2002), with the smoothing of sacrebleu.

    Answers too short for n-grams of order 4 are scored by the orders they have, so that single rows have a value.
    """
    compute = partial(_bleu(USUAL_TOKENIZER).compute_bleu, smooth_method="exp", effective_order=True)
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


def _chrf_statistics(word_order: int, predictions: Predictions) -> Array:
    """Return counts (n, 3 * orders): n-grams of the answer, of the reference that fits best, and of both."""
    chrf = _chrf(word_order)
    found = []
    for answer, references in _texts(predictions):
        found += chrf._extract_corpus_statistics([answer], [[reference] for reference in references])
    return np.array(found, dtype=float)


def _chrf_value(word_order: int, sums: Array) -> Array:
    """Return corpus chrF, 0 to 100: F2 of the mean precision and recall over the orders (Popović 2015, 2017)."""
    return np.array([_chrf(word_order)._compute_f_score(row.tolist()) for row in sums])


def _sequence_metric(name: str, title: str, meaning: str, **info: Any) -> Metric:
    return Metric(name=name, title=title, meaning=meaning, digits=2, scale=100.0, compares_text=True, **info)


def _bleu_metric(tokenizer: str, fitted: Callable[[Sequence[str]], Metric] | None = None) -> Metric:
    return _sequence_metric(
        "bleu",
        "BLEU",
        "word sequences shared with the reference, 0 to 100",
        statistics=partial(_bleu_statistics, tokenizer),
        value=_bleu_value,
        tokenizer=tokenizer,
        fitted=fitted,
    )


def _chrf_metric(name: str, title: str, meaning: str, word_order: int) -> Metric:
    return _sequence_metric(
        name,
        title,
        meaning,
        hub_name="chrf",
        statistics=partial(_chrf_statistics, word_order),
        value=partial(_chrf_value, word_order),
    )


BLEU = _bleu_metric(USUAL_TOKENIZER, lambda references: _bleu_metric(bleu_tokenizer(references)))
CHRF = _chrf_metric("chrf", "chrF", "character sequences shared with the reference, 0 to 100", 0)
CHRF_PLUS_PLUS = _chrf_metric("chrf++", "chrF++", "characters and word pairs shared with the reference, 0 to 100", 2)
