"""graft search: trials equal separate runs, the winner is its trial, and a search that was stopped goes on alike."""

from __future__ import annotations

import json
import os
import signal

import pytest

import graft
from graft.cli.main import main
from graft.commands.finetune import carry_out
from graft.commands.finetune import plan as plan_of_run
from graft.commands.search import search
from graft.documents import read_yaml
from graft.errors import InputError
from graft.progress import Silent
from graft.runs.manifest import read_run, read_search, read_trials
from graft.training.weights import tuned_weights, weights_sha256
from small_runs import tone_file
from tiny_models import tiny_model_folder

SPACE = {
    "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True},
    "lora_r": {"type": "int", "low": 2, "high": 6},
    "lora_dropout": {"type": "choice", "values": [0.0, 0.2]},
    "method": {"type": "choice", "values": ["lora", "full"]},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    return tiny_model_folder(folder), tone_file(folder, 20)


def given(place, **more):
    model, data = place
    return {
        "model_name_or_path": str(model),
        "data_files": str(data),
        "max_steps": 12,
        "eval_share": 0.4,
        "batch_size": 8,
        "evaluate": False,
        **more,
    }


def study(place, folder, **more):
    return given(place, search_space=SPACE, num_trials=7, output_path=str(folder), **more)


@pytest.fixture(scope="module")
def done(place, tmp_path_factory):
    folder = tmp_path_factory.mktemp("done") / "search"
    search(study(place, folder))
    return folder


def test_trials_equal_separate_runs_bit_for_bit(place, done, tmp_path):
    trials, rows = read_trials(done), read_search(done).selection_rows
    completed = [trial for trial in trials if trial.status == "completed"]
    assert len(completed) > 1 and {trial.settings["method"] for trial in trials} == {"lora", "full"}
    for trial in completed:
        found = []
        settings = trial.settings if trial.number else {}
        run = plan_of_run(given(place, output_path=str(tmp_path / str(trial.number)), monitored_rows=rows, **settings))
        carry_out(run, trained=lambda run, model, found=found: found.append(weights_sha256(tuned_weights(model))))
        training = read_run(run.output).training
        assert found == [trial.weights]
        assert (training.best_value, training.best_step) == (trial.value, trial.best_step)


def test_pruned_trials_have_the_losses_of_separate_runs(place, tmp_path):
    settings = study(place, tmp_path / "pruned", seed=3)
    settings["search_space"] = {"learning_rate": {"low": 1e-6, "high": 1e-4, "log": True}}
    search(settings | {"num_trials": 4, "max_steps": 24})
    trials = read_trials(tmp_path / "pruned")
    pruned = [trial for trial in trials if trial.status == "pruned"]
    assert pruned and trials[0].status == "completed" and read_search(tmp_path / "pruned").winner == 0
    assert all(trial.steps < 24 and trial.weights is None for trial in pruned)


def test_the_winner_is_a_run_equal_to_its_trial(place, done):
    manifest, trials = read_search(done), read_trials(done)
    winner = trials[manifest.winner]
    run = read_run(done / "best")
    assert manifest.status == run.status == "finished"
    assert run.training.best_value == winner.value == min(t.value for t in trials if t.status == "completed")
    assert manifest.selection_rows == 8 and manifest.untouched_rows == 8
    assert winner.untouched is not None and trials[0].untouched is not None and winner.untouched != winner.value
    assert len(winner.untouched_rows) == 8
    total = sum(loss for loss, _ in winner.untouched_rows) / sum(count for _, count in winner.untouched_rows)
    assert total == pytest.approx(winner.untouched)
    assert trials[0].settings == {"learning_rate": 2e-4, "lora_r": 16, "lora_dropout": 0.0, "method": "lora"}
    assert (done / "search.html").is_file() and (done / "best.yaml").is_file()


def test_a_winner_with_the_defaults_is_the_run_without_a_search(place, tmp_path):
    """A search watches the rows that a run watches, and takes the untouched ones from those beyond the limit."""
    few = given(place, max_eval_samples=6)
    space = {"learning_rate": {"low": 1e-9, "high": 1e-8}}
    search(few | {"search_space": space, "num_trials": 2, "output_path": str(tmp_path / "search")})
    manifest, trials = read_search(tmp_path / "search"), read_trials(tmp_path / "search")
    assert (manifest.winner, manifest.selection_rows, manifest.untouched_rows) == (0, 6, 10)
    assert len(trials[0].untouched_rows) == 10
    run = plan_of_run(few | {"output_path": str(tmp_path / "run")})
    carry_out(run)
    watched, untouched = ({row.origin for row in rows} for rows in (run.monitored, run.untouched))
    assert (len(watched), len(untouched)) == (6, 10)
    assert not watched & untouched and not {row.origin for row in run.rows} & untouched
    assert {example.origin for example in run.untouched_examples} == untouched
    training = read_run(run.output).training
    assert (training.best_value, training.best_step) == (trials[0].value, trials[0].best_step)
    files = [file.relative_to(run.output) for file in (run.output / "adapter").rglob("*.safetensors")]
    assert files and all((run.output / f).read_bytes() == (tmp_path / "search/best" / f).read_bytes() for f in files)


def test_at_least_half_of_the_held_out_rows_are_kept_for_the_winner(place, tmp_path):
    from graft.commands.search import plan

    for limit, rows in ((None, (8, 8)), (14, (8, 8)), (8, (8, 8)), (2, (2, 14))):
        planned = plan(study(place, tmp_path / "out", max_eval_samples=limit))
        assert (len(planned.first.monitored), len(planned.first.untouched)) == rows


def test_what_depends_on_the_free_memory_is_recorded_for_a_search_that_goes_on(place, tmp_path):
    settings = given(place, output_path=str(tmp_path / "out"), num_trials=1, search_space={"lora_r": [2, 4]})
    del settings["batch_size"]
    search(settings)
    recorded, run = read_yaml(tmp_path / "out" / "config.yaml", ""), read_run(tmp_path / "out" / "best")
    for name in ("per_device_train_batch_size", "monitored_rows"):
        assert recorded[name] == run.settings[name] is not None


class Stopper(Silent):
    """Sends Ctrl-C at the end of a trial."""

    def __init__(self, trial):
        self.trial = trial

    def note(self, text):
        if text.startswith(f"trial {self.trial}:"):
            os.kill(os.getpid(), signal.SIGINT)


def told(folder):
    return [{**trial.document(), "seconds": 0} for trial in read_trials(folder)]


def test_a_search_that_was_stopped_goes_on_to_the_same_trials(place, done, tmp_path, capsys):
    folder = tmp_path / "stopped"
    from graft.commands.search import carry_out as carry_out_search
    from graft.commands.search import plan
    from graft.errors import Interrupted

    with pytest.raises(Interrupted) as stopped:
        carry_out_search(plan(study(place, folder)), Stopper(2))
    assert f"graft search --resume -o {folder}" in stopped.value.problems[0].remedy
    assert read_search(folder).status == "interrupted" and len(read_trials(folder)) == 3
    assert main(["search", "--resume", "-o", str(folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["manifest"]["status"] == "finished"
    assert told(folder) == told(done)


def test_a_trial_that_is_missing_is_run_where_later_ones_ended(place, tmp_path):
    """Workers end trials in any order, and a search may go on with fewer trials than it began with."""
    folder, few = tmp_path / "out", {"num_trials": 3, "max_steps": 2, "prune": False}
    search(study(place, folder) | few)
    weights, file = [trial.weights for trial in read_trials(folder)], folder / "trials.jsonl"
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if '"number": 1,' not in line))
    assert [trial.number for trial in read_trials(folder)] == [0, 2]
    search({"resume": True, "output_path": str(folder), "num_trials": 2})
    assert [trial.weights for trial in read_trials(folder)] == weights


def test_a_trial_that_fails_does_not_end_the_search(place, tmp_path):
    space = {"target_modules": {"type": "choice", "values": [["q_proj"], ["no_such_layer"]]}}
    found = graft.search_settings(
        given(place), search_space=space, search_strategy="grid", output_path=tmp_path / "out"
    )
    assert found.path == tmp_path / "out" / "best" and found.status == "finished"
    trials = read_trials(tmp_path / "out")
    failed = [trial for trial in trials if trial.status == "failed"]
    assert len(failed) == 1 and "no_such_layer" in failed[0].error
    assert read_search(tmp_path / "out").status == "finished"


def test_a_wrong_space_and_wrong_settings_are_said_together_before_anything_is_read(tmp_path):
    space = {"learning_rate": {"low": 1, "high": 0}, "lora_rr": [1, 2], "seed": [1, 2]}
    with pytest.raises(InputError) as error:
        search({"model": "no/model", "data": "no.jsonl", "search_space": space, "maxsteps": 3, "prune": "maybe"})
    said = str(error.value)
    assert all(name in said for name in ("learning_rate", "lora_rr", "seed", "maxsteps", "prune"))
    assert "did you mean lora_r?" in said and "did you mean max_steps?" in said
    assert "no.jsonl" not in said


def test_losses_of_another_kind_are_not_compared(place, tmp_path):
    space = {"loss": {"type": "choice", "values": ["cross-entropy", "focal"]}}
    with pytest.raises(InputError, match="metric_for_best_model"):
        search(given(place, search_space=space, output_path=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_the_file_of_the_walkthrough_is_taken_as_it_stands(place, tmp_path, capsys):
    file = tmp_path / "hyperparameter-search.yaml"
    file.write_text(
        'search_strategy: {type: "random", num_trials: 20}\n'
        "search_space:\n"
        '  learning_rate: {type: "float", low: 1e-6, high: 1e-3, log: true}\n'
        '  lora_r: {type: "int", low: 8, high: 64}\n'
        '  batch_size: {type: "choice", values: [8, 16, 32]}\n'
    )
    model, data = place
    words = ["search", "--config", str(file), "--model_name_or_path", str(model), "--data_files", str(data)]
    assert main([*words, "--dry_run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["num_trials"] == 20 and found["strategy"] == "random" and len(found["first_trials"]) == 6
    assert set(found["space"]) == {"learning_rate", "lora_r", "per_device_train_batch_size"}
    assert not list(tmp_path.glob("runs"))
