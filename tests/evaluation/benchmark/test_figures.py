"""Intervals and paired differences from the harness's rows."""

import math

import numpy as np
import pytest

from graft.evaluation.benchmark.figures import figures, group_values, task_values
from graft.evaluation.benchmark.harness import require_harness

require_harness()


class Task:
    """What a task of the harness says of its metrics."""

    def aggregation(self):
        from lm_eval.api.metrics import bits_per_byte, f1_score, mean, perplexity, weighted_perplexity

        return {
            "acc": mean,
            "perplexity": perplexity,
            "word_perplexity": weighted_perplexity,
            "bits_per_byte": bits_per_byte,
            "f1": f1_score,
        }


def samples(metric, values, kept="none"):
    return [{"doc_id": row, "filter": kept, "metrics": [metric], metric: value} for row, value in enumerate(values)]


def test_a_small_gain_on_the_same_rows_is_found():
    chance = np.random.default_rng(0)
    base = (chance.random(400) < 0.5).astype(float)
    tuned = base.copy()
    tuned[np.flatnonzero(base == 0)[:20]] = 1.0  # 20 rows fixed, none broken: 0.05 better
    both = {"base": samples("acc", base), "tuned": samples("acc", tuned)}
    found = figures(task_values("t", Task(), both, 2000), [("base", "tuned")])
    (change,) = found["differences"]
    assert change["value"] == pytest.approx(0.05) and 0.02 < change["low"] < 0.04 < change["high"] < 0.08
    assert change["p"] < 0.01  # by two standard errors of 0.025 each it would be 0.16
    width = found["predictors"]["base"]["acc"]["high"] - found["predictors"]["base"]["acc"]["low"]
    assert width == pytest.approx(2 * 1.96 * 0.025, rel=0.15)


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("perplexity", [-1.0, -2.0, -0.5, -3.0]),
        ("word_perplexity", [(-30.0, 5), (-10.0, 2), (-44.0, 9)]),
        ("bits_per_byte", [(-30.0, 25), (-10.0, 12), (-44.0, 40)]),
        ("f1", [(1, 1), (0, 1), (1, 0), (1, 1), (0, 0)]),
    ],
)
def test_values_are_those_of_the_harness(metric, values):
    (one,) = task_values("t", Task(), {"base": samples(metric, values)}, 200)[metric].values()
    assert one.value == pytest.approx(Task().aggregation()[metric](values)) and one.rows == len(values)
    assert one.samples.min() <= one.value <= one.samples.max() and not math.isclose(
        *np.percentile(one.samples, [5, 95])
    )


def test_rows_that_a_model_lacks_count_for_none():
    both = {"base": samples("acc", [1.0, 0.0, 1.0]), "tuned": samples("acc", [1.0, 1.0])}
    found = task_values("t", Task(), both, 100)["acc"]
    assert [one.rows for one in found.values()] == [2, 2] and found["base"].value == 0.5


def test_filters_are_metrics_of_their_own():
    rows = [*samples("acc", [1.0, 0.0], "strict"), *samples("acc", [1.0, 1.0], "flexible")]
    found = task_values("t", Task(), {"base": rows}, 100)
    assert {name: by_model["base"].value for name, by_model in found.items()} == {
        "acc,strict": 0.5,
        "acc,flexible": 1.0,
    }


def test_a_group_is_weighted_as_the_harness_does():
    parts = [
        task_values("a", Task(), {"base": samples("acc", [1.0] * 9 + [0.0])}, 500),
        task_values("b", Task(), {"base": samples("acc", [0.0] * 90)}, 500),
    ]
    for value in (0.09, 0.45):  # by rows, and by tasks
        one = group_values(parts, {"acc": {"base": value}})["acc"]["base"]
        assert (
            one.value == pytest.approx(value)
            and one.rows == 100
            and one.samples.mean() == pytest.approx(value, rel=0.1)
        )
    other = group_values(parts, {"acc": {"base": 0.3}})
    assert "low" not in figures(other, [])["predictors"]["base"]["acc"]
