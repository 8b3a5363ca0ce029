"""Answers that are numbers, as the likeness of a pair of texts: how well they agree with the references'."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graft.errors import InputError
from graft.evaluation.metrics.base import Array, Metric, Predictions


def _numbers(texts: Sequence[str]) -> Array:
    try:
        return np.array([float(text) for text in texts])
    except ValueError as error:
        raise InputError(f"a correlation is of numbers: {error}", where="--metrics") from None


def _moments(wanted: Array, given: Array) -> Array:
    """(n, 6): whose sums give a correlation; centred first, which keeps the digits."""
    x, y = wanted - wanted.mean(), given - given.mean()
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def _ranks(values: Array) -> Array:
    """Equal values share the mean of their places."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return np.asarray((last - (counts - 1) / 2)[place])


def _pairs(predictions: Predictions) -> tuple[Array, Array]:
    assert predictions.answers is not None
    return _numbers(predictions.references), _numbers(predictions.answers)


def _pearson_statistics(predictions: Predictions) -> Array:
    return _moments(*_pairs(predictions))


def _spearman_statistics(predictions: Predictions) -> Array:
    """Ranks among all rows, which the resamples of the bootstrap keep."""
    wanted, given = _pairs(predictions)
    return _moments(_ranks(wanted), _ranks(given))


def _correlation(sums: Array) -> Array:
    """Pearson's r of sums of moments; 0 where one side is constant."""
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
