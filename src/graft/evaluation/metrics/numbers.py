"""Correlations, for answers that are numbers, such as the similarity of a pair of texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graft.errors import InputError
from graft.evaluation.metrics.base import Array, Metric, Predictions


def _numbers(texts: Sequence[str]) -> Array:
    try:
        return np.array([float(text) for text in texts])
    except ValueError as error:
        raise InputError(f"a correlation requires numeric answers: {error}", where="--metrics") from None


def _moments(wanted: Array, given: Array) -> Array:
    """Return the moments (n, 6) whose sums give a correlation. Centering first avoids cancellation."""
    x, y = wanted - wanted.mean(), given - given.mean()
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def _ranks(values: Array) -> Array:
    """Return ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return np.asarray((last - (counts - 1) / 2)[place])


def _pairs(predictions: Predictions) -> tuple[Array, Array]:
    assert predictions.answers is not None
    return _numbers(predictions.references), _numbers(predictions.answers)


def _pearson_statistics(predictions: Predictions) -> Array:
    return _moments(*_pairs(predictions))


def _spearman_statistics(predictions: Predictions) -> Array:
    """Return the moments of the ranks among all rows, which resamples keep (Spearman 1904)."""
    wanted, given = _pairs(predictions)
    return _moments(_ranks(wanted), _ranks(given))


def _correlation(sums: Array) -> Array:
    """Return Pearson's r from sums of moments (Pearson 1895); 0 where one side is constant."""
    n, x, y, xx, yy, xy = sums.T
    below = (n * xx - x**2) * (n * yy - y**2)
    above = n * xy - x * y
    return np.asarray(np.divide(above, np.sqrt(np.maximum(below, 0)), out=np.zeros(len(sums)), where=below > 1e-12))


PEARSON = Metric(
    name="pearson",
    title="Pearson's r",
    meaning="linear correlation of the predicted and the reference similarity, −1 to 1",
    hub_name="pearsonr",
    statistics=_pearson_statistics,
    value=_correlation,
)
SPEARMAN = Metric(
    name="spearman",
    title="Spearman's rho",
    meaning="rank correlation of the predicted and the reference similarity, −1 to 1",
    hub_name="spearmanr",
    statistics=_spearman_statistics,
    value=_correlation,
)
