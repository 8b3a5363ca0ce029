"""A study makes the same trials whether it is killed, resumed, or run at once; trials are pruned by lower numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from graft.config import Settings
from graft.runs.search_manifest import TrialRecord
from graft.search.board import FileBoard
from graft.search.journal import Journal
from graft.search.pruning import Pruner, falls_behind, rung_steps
from graft.search.space import Dimension, SearchSpace
from graft.search.strategies.random import RandomSearch
from graft.search.study import InProcess, Study, Trial, best_of

SPACE = SearchSpace((Dimension("lora_r", "int", 1, 4), Dimension("method", "choice", values=("lora", "full"))))


def effective(proposal):
    return {name: value for name, value in proposal.items() if name != "lora_r" or proposal["method"] == "lora"}


def study_in(folder: Path, trials: int = 12) -> Study:
    folder.mkdir(exist_ok=True)
    defaults = {"lora_r": 16, "method": "lora"}
    return Study(SPACE, RandomSearch(Settings()), trials, 7, False, defaults, effective, Journal(folder))


def run_trial(trial: Trial) -> TrialRecord:
    value = float(trial.settings.get("lora_r", 9))
    return TrialRecord(number=trial.number, settings=trial.settings, value=value, history=[(1, value)], weights="x")


class Killed(Exception):
    pass


def killed_at(number: int):
    def run(trial: Trial) -> TrialRecord:
        if trial.number == number:
            raise Killed
        return run_trial(trial)

    return InProcess(run)


def test_a_killed_study_makes_the_same_trials_when_it_goes_on(tmp_path):
    whole = study_in(tmp_path / "whole").run(InProcess(run_trial))
    for number in [record.number for record in whole if record.status == "completed"]:
        folder = tmp_path / str(number)
        with pytest.raises(Killed):
            study_in(folder).run(killed_at(number))
        with (folder / "trials.jsonl").open("a") as file:
            file.write('{"number": 3, "setti')  # what a killed process left
        assert study_in(folder).run(InProcess(run_trial)) == whole
        assert Journal(folder).read() == whole


def test_equal_settings_run_once_and_options_without_effect_do_not_make_them_different(tmp_path):
    ran: list[int] = []

    def run(trial: Trial) -> TrialRecord:
        ran.append(trial.number)
        assert trial.before == tuple(ran[:-1])
        return run_trial(trial)

    records = study_in(tmp_path, trials=30).run(InProcess(run))
    assert [record.number for record in records] == list(range(30))
    duplicates = [record for record in records if record.status == "duplicate"]
    assert duplicates and len(ran) + len(duplicates) == 30
    for record in duplicates:
        first = records[record.same_as]
        assert first.status == "completed" and (first.settings, first.value) == (record.settings, record.value)
    assert len({str(records[number].settings) for number in ran}) == len(ran)
    assert sum(record.settings == {"method": "full"} for record in records if record.number in ran) == 1


def test_more_trials_may_be_asked_for_when_a_study_goes_on(tmp_path):
    first = study_in(tmp_path, trials=5).run(InProcess(run_trial))
    assert study_in(tmp_path, trials=9).run(InProcess(run_trial))[:5] == first
    assert study_in(tmp_path, trials=9).run(killed_at(0)) == study_in(tmp_path / "x", 9).run(InProcess(run_trial))


def test_the_best_is_a_completed_trial_and_the_first_of_equals():
    records = [
        TrialRecord(number=0, value=2.0),
        TrialRecord(number=1, value=1.0, status="pruned"),
        TrialRecord(number=2, value=1.5),
        TrialRecord(number=3, value=1.5),
        TrialRecord(number=4, status="failed", error="x"),
    ]
    assert best_of(records, False).number == 2
    assert best_of(records, True).number == 0
    assert best_of(records[4:], False) is None


@pytest.mark.parametrize(
    ("score", "others", "greater", "behind"),
    [
        (1.0, [], False, False),
        (1.0, [2.0, 3.0], False, False),  # the best so far
        (1.0, [1.0], False, True),  # a tie goes to the earlier trial
        (2.0, [1.0], False, True),
        (2.0, [1.0], True, False),
        (2.0, [1.0, *[3.0] * 6], False, False),  # among the best 2 of 8
        (2.5, [1.0, 2.0, *[3.0] * 5], False, True),
        (math.nan, [], False, True),
        (5.0, [math.nan], False, False),
    ],
)
def test_a_trial_goes_on_where_it_is_among_the_best_quarter(score, others, greater, behind):
    assert falls_behind(score, others, greater) is behind


def test_rungs_come_after_the_warm_up_and_before_the_end():
    assert rung_steps(80, 4) == {5: 0, 20: 1}
    assert rung_steps(80, 30) == {31: 0}
    assert rung_steps(2, 0) == {1: 0}
    assert rung_steps(1, 0) == {}


def test_a_trial_is_compared_with_lower_numbers_alone(tmp_path):
    board = FileBoard(tmp_path)
    board.post(5, 0, 0.1)  # better, and later
    board.post(0, 0, 3.0)
    Journal(tmp_path).append(TrialRecord(number=1, status="failed", error="x"))  # ended below the rung
    pruner = Pruner(number=2, before=(0, 1), board=board, steps={4: 0}, greater_is_better=False)
    assert not pruner(2, 9.0)
    assert not pruner(4, 2.0)
    assert FileBoard(tmp_path).scores(0) == {5: 0.1, 0: 3.0, 2: 2.0}
    assert Pruner(3, (0, 1, 2), board, {4: 0}, False)(4, 2.5)
    assert pruner.history == [(2, 9.0), (4, 2.0)]


def test_a_line_that_a_kill_cut_off_does_not_damage_the_scores(tmp_path):
    board = FileBoard(tmp_path)
    board.post(0, 0, 1.0)
    with (tmp_path / "rungs.jsonl").open("a") as file:
        file.write('{"number": 1, "ru')
    assert board.scores(0) == {0: 1.0}
    board.post(1, 0, float("nan"))
    scores = FileBoard(tmp_path).scores(0)
    assert scores[0] == 1.0 and math.isnan(scores[1])
