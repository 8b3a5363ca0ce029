from collections import Counter

import pytest

from graft.errors import GraftError, InputError
from graft.search.space import Dimension, SearchSpace
from graft.search.strategies import STRATEGIES, propose, strategy_settings
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


OWN = """
class Halving:
    name = "halving"
    help = "half of the last trial"

    def __init__(self, settings):
        pass

    def propose(self, space, number, seed, past, greater_is_better):
        return {dimension.name: dimension.high / 2**number for dimension in space.dimensions}


class Wrong(Halving):
    def propose(self, space, number, seed, past, greater_is_better):
        return {"other": 1}


class Failing(Halving):
    def propose(self, space, number, seed, past, greater_is_better):
        return 1 / 0


class Nothing:
    pass
"""


def test_a_strategy_of_ones_own_is_a_class_in_a_file(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN, encoding="utf-8")
    cls = STRATEGIES.get(f"{file}:Halving")
    search, space = cls(cls.Config()), SearchSpace((Dimension("learning_rate", "float", 1e-5, 1e-3),))
    assert search.size(space) is None and search.generation is None and search.needs == ()
    assert propose(search, space, 1, 1, (), False) == {"learning_rate": 5e-4}
    with pytest.raises(GraftError, match=r"proposes \{'other': 1\} for trial 3\n.*exactly: learning_rate"):
        propose(STRATEGIES.get(f"{file}:Wrong")(None), space, 3, 1, (), False)
    with pytest.raises(GraftError, match=r"own\.py:\d+: the strategy halving failed: ZeroDivisionError"):
        propose(STRATEGIES.get(f"{file}:Failing")(None), space, 3, 1, (), False)
    with pytest.raises(InputError, match=r"Nothing is not a strategy: it lacks name, help, propose"):
        STRATEGIES.get(f"{file}:Nothing")
    with pytest.raises(InputError, match="did you mean random"):
        STRATEGIES.get("randm")


def test_what_a_file_says_of_the_strategy():
    assert strategy_settings("grid") == {"search_strategy": "grid"} and strategy_settings(None) == {}
    chapter = {"type": "random", "num_trials": 20}
    assert strategy_settings(chapter) == {"search_strategy": "random", "num_trials": 20}
    olive = {"execution_order": "joint", "sampler": "tpe", "max_samples": 5, "n_startup_trials": 3}
    assert strategy_settings(olive) == {"search_strategy": "tpe", "num_trials": 5, "n_startup_trials": 3}
    with pytest.raises(InputError) as caught:
        strategy_settings({"type": ["tpe"], "num_trials": 5, "n_trials": 6}, "search.yaml")
    assert [problem.what.split(" ")[0] for problem in caught.value.problems] == ["type", "n_trials"]
    with pytest.raises(InputError, match=r"search\.yaml: search_strategy: .* not \[1\]"):
        strategy_settings([1], "search.yaml")


def test_a_share_of_the_space_is_a_value_on_its_scale():
    rate, rank, steps, batch = SPACE.dimensions
    assert rate.at(0.0) == pytest.approx(1e-5) and rate.at(0.5) == pytest.approx(1e-4) and rate.at(0.9999) < 1e-3
    assert [rank.at(share) for share in (0.0, 0.49, 0.5, 0.999)] == [8, 32, 40, 64]
    assert [steps.at(share) for share in (0.0, 0.999)] == [1, 4] and batch.at(0.4) == 16
    assert [Dimension("a", "int", 1, 4).at(share) for share in (0.0, 0.25, 0.5, 0.75, 0.999)] == [1, 2, 3, 4, 4]
