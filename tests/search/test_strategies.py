from collections import Counter

import pytest

from graft.search.space import Dimension, SearchSpace
from graft.search.strategies.random import RandomSearch

SPACE = SearchSpace(
    (
        Dimension("learning_rate", "float", 1e-5, 1e-3, log=True),
        Dimension("lora_r", "int", 8, 64, step=8),
        Dimension("max_steps", "int", 1, 4, log=True),
        Dimension("per_device_train_batch_size", "choice", values=(8, 16, 32)),
    )
)


def drawn(count, seed=1):
    search = RandomSearch(RandomSearch.Config())
    return [search.propose(SPACE, number, seed, (), False) for number in range(1, count + 1)]


def test_draws_are_within_bounds_and_on_their_scale():
    draws = drawn(2000)
    rates = sorted(each["learning_rate"] for each in draws)
    assert rates[0] >= 1e-5 and rates[-1] <= 1e-3
    assert rates[1000] == pytest.approx(1e-4, rel=0.2)  # the middle of a logarithmic scale
    assert set(Counter(each["lora_r"] for each in draws)) == set(range(8, 65, 8))
    steps = Counter(each["max_steps"] for each in draws)
    assert set(steps) == {1, 2, 3, 4} and steps[1] > steps[4]
    assert {each["per_device_train_batch_size"] for each in draws} == {8, 16, 32}


def test_a_draw_depends_on_the_seed_and_the_number_alone():
    assert drawn(20)[7:] == drawn(20)[7:] and drawn(20, 1) != drawn(20, 2)
    assert drawn(3) == drawn(20)[:3]
