import math
import subprocess
import sys

import pytest

from graft.errors import MissingExtra
from graft.planning.settings import settings_class
from graft.runs.search_manifest import TrialRecord
from graft.search.space_reading import read_space
from graft.search.strategies import STRATEGIES, propose
from graft.search.strategies.random import RandomSearch
from graft.search.strategies.tpe import TpeConfig, TreeParzenSearch

SPACE = read_space(
    {
        "learning_rate": "1e-6..1e-1 log",
        "weight_decay": "0..1",
        "lora_r": "8..64 step 8",
        "max_steps": "1..100 log",
        "loss_arguments": [{}, {"gamma": 1}],
        "load_best_model_at_end": [True, False],
    },
    settings_class({}),
)


def score(settings):
    """The best is a rate of 1e-3, no decay, rank 16, and the second arguments."""
    rate = abs(math.log10(settings["learning_rate"]) + 3)
    return rate + settings["weight_decay"] + abs(settings["lora_r"] - 16) / 16 + (not settings["loss_arguments"])


def study(count, seed=1, generation=4, sign=1, startup=10):
    """The trials of a study, as they are recorded."""
    search = TreeParzenSearch(TpeConfig(n_startup_trials=startup))
    trials = [TrialRecord(number=0, settings={"learning_rate": 2.0, "lora_r": 16, "max_steps": None}, value=sign * 9.0)]
    for number in range(1, count):
        past = [trial for trial in trials if trial.number <= (number - 1) // generation * generation]
        made = propose(search, SPACE, number, seed, past, sign < 0)
        if number % 5 == 3:
            history = [(1, sign * (score(made) + 1)), (2, sign * score(made))]
            trials.append(TrialRecord(number=number, settings=made, status="pruned", history=history))
        elif number % 7 == 6:
            trials.append(TrialRecord(number=number, settings=made, status="failed", error="out of memory"))
        else:
            trials.append(TrialRecord(number=number, settings=made, value=sign * score(made)))
    return trials


def test_proposals_are_in_the_space_and_of_its_types():
    for trial in study(30)[1:]:
        values = trial.settings
        assert list(values) == [dimension.name for dimension in SPACE.dimensions]
        assert 1e-6 <= values["learning_rate"] <= 1e-1 and values["lora_r"] in range(8, 65, 8)
        assert isinstance(values["lora_r"], int) and isinstance(values["max_steps"], int)
        assert values["loss_arguments"] in ({}, {"gamma": 1}) and isinstance(values["load_best_model_at_end"], bool)


def test_a_study_that_is_resumed_proposes_the_same():
    """Each proposal depends on the records alone, which a resumed study reads from its file."""
    first = study(24)
    search = TreeParzenSearch(TpeConfig())
    for number in (3, 12, 17, 23):
        written = [TrialRecord.model_validate_json(trial.model_dump_json()) for trial in first]
        past = [trial for trial in written if trial.number <= (number - 1) // 4 * 4]
        assert search.propose(SPACE, number, 1, past, False) == first[number].settings
    assert study(24, seed=2)[12:] != first[12:]


@pytest.mark.parametrize("sign", [1, -1])
def test_it_finds_better_trials_than_random_search(sign):
    """Of 60 trials the last half, over three seeds, whether less or more is better."""
    random = RandomSearch(RandomSearch.Config())
    found = [score(trial.settings) for seed in range(3) for trial in study(60, seed, sign=sign)[30:]]
    drawn = [score(random.propose(SPACE, number, seed, (), False)) for seed in range(3) for number in range(30, 60)]
    assert sum(found) / len(found) < 0.6 * sum(drawn) / len(drawn)


def test_the_first_trials_are_random():
    trials, random = study(12, startup=6), RandomSearch(RandomSearch.Config())
    drawn = [random.propose(SPACE, number, 1, (), False) for number in range(1, 12)]
    assert [trial.settings for trial in trials[1:6]] == drawn[:5] and trials[6].settings != drawn[5]


def test_a_trial_is_not_proposed_twice_while_there_are_others():
    few = read_space("lora_r=1..12", settings_class({}))
    search, trials = TreeParzenSearch(TpeConfig(n_startup_trials=2)), []
    for number in range(1, 11):
        settings = search.propose(few, number, 1, trials, False)
        trials.append(TrialRecord(number=number, settings=settings, value=float(settings["lora_r"])))
    assert len({trial.settings["lora_r"] for trial in trials}) == 10


def test_optuna_says_nothing_and_is_imported_when_it_is_used():
    code = (
        "import sys; from graft.search.strategies import STRATEGIES\n"
        "from graft.search.space import Dimension, SearchSpace\nfrom graft.runs.search_manifest import TrialRecord\n"
        "cls = STRATEGIES.get('tpe'); search = cls(cls.Config(n_startup_trials=1)); print('optuna' in sys.modules)\n"
        "space = SearchSpace((Dimension('a', 'int', 1, 9),))\n"
        "past = [TrialRecord(number=0, settings={'a': 2}, value=1.0)]\n"
        "print(search.propose(space, 1, 1, past, False)['a'] in range(1, 10))\n"
    )
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"] and done.stderr == ""


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'optuna, which is not installed\n.*pip install "graft-slm\[search\]"'):
        STRATEGIES.get("tpe")(TpeConfig())
