"""Intervals and paired differences."""

import numpy as np
import pytest
from scipy import stats

from graft.evaluation.bootstrap import Bootstrap
from graft.evaluation.metrics import Predictions, get_metric

ACCURACY = get_metric("accuracy")


def predictions(hits):
    return Predictions(["a"] * len(hits), choices=["a" if hit else "b" for hit in hits], labels=["a", "b"])


def test_the_interval_of_an_accuracy_is_the_binomial_one():
    hits = np.random.default_rng(0).random(500) < 0.8
    bootstrap = Bootstrap(500, 2000, 42)
    found = bootstrap.interval(*bootstrap.values(ACCURACY, ACCURACY.statistics(predictions(hits))))
    low, high = stats.binomtest(int(hits.sum()), 500).proportion_ci(method="wilson")
    assert found.value == hits.mean()
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    chance = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        hits = chance.random(150) < 0.7
        bootstrap = Bootstrap(150, 300, seed)
        found = bootstrap.interval(*bootstrap.values(ACCURACY, ACCURACY.statistics(predictions(hits))))
        covered += found.low <= 0.7 <= found.high
    assert 180 <= covered <= 199


def test_differences_are_paired():
    """Two models that err on nearly the same rows differ less than two independent ones would."""
    before = np.random.default_rng(2).random(400) < 0.7
    after = before.copy()
    after[np.flatnonzero(~before)[:12]] = True
    bootstrap = Bootstrap(400, 2000, 42)
    one, two = (bootstrap.values(ACCURACY, ACCURACY.statistics(predictions(hits))) for hits in (before, after))
    found = bootstrap.difference(two[0] - one[0], two[1] - one[1])
    assert found.value == pytest.approx(0.03) and found.low > 0 and found.p < 0.01
    unpaired = 1.96 * np.sqrt(before.var() / 400 + after.var() / 400)
    assert found.high - found.low < unpaired


def test_no_difference_is_not_significant():
    hits = np.random.default_rng(3).random(100) < 0.5
    bootstrap = Bootstrap(100, 500, 42)
    _, samples = bootstrap.values(ACCURACY, ACCURACY.statistics(predictions(hits)))
    assert bootstrap.difference(0.0, samples - samples).p == 1.0


def test_a_rare_class_does_not_push_the_interval_below_the_value():
    metric = get_metric("macro_f1")
    labels = [*["a"] * 60, *["b"] * 60, "c"]
    perfect = Predictions(labels, choices=labels, labels=["a", "b", "c"])
    bootstrap = Bootstrap(len(labels), 500, 42)
    found = bootstrap.interval(*bootstrap.values(metric, metric.statistics(perfect)))
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_the_seed_decides():
    first, again, other = (Bootstrap(20, 100, seed).weights for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert (first.sum(axis=1) == 20).all()
