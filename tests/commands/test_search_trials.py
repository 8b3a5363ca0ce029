"""Trials of a search leave nothing behind: each is what a separate run makes, whatever ran before it."""

import json

import pytest

from graft.commands.finetune import carry_out
from graft.commands.finetune import plan as plan_of_run
from graft.commands.search import search
from graft.errors import InputError
from graft.progress import Silent
from graft.runs.manifest import read_run, read_search, read_trials
from graft.training.weights import tuned_weights, weights_sha256
from small_runs import tone_file
from tiny_models import tiny_model_folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trials")
    return tiny_model_folder(folder), tone_file(folder, 20)


def given(place, **more):
    model, data = place
    common = {"max_steps": 4, "eval_share": 0.4, "batch_size": 8, "evaluate": False}
    return {"model_name_or_path": str(model), "data_files": str(data), **common, **more}


def searched(place, folder, space, reporter=None, **more):
    settings = given(place, search_space=space, output_path=str(folder), **{"prune": False, **more})
    return search(settings, reporter or Silent())


def check_equal_to_runs(place, folder, tmp_path, **more):
    trials = [trial for trial in read_trials(folder) if trial.status != "duplicate"]
    for trial in trials:
        assert trial.status == "completed", trial.error
        found, settings = [], trial.settings if trial.number else {}
        rows, output = read_search(folder).selection_rows, str(tmp_path / f"run-{trial.number}")
        run = plan_of_run(given(place, output_path=output, monitored_rows=rows, **{**more, **settings}))
        carry_out(run, trained=lambda run, model, found=found: found.append(weights_sha256(tuned_weights(model))))
        assert found == [trial.weights], trial.settings
        assert read_run(run.output).training.best_value == trial.value
    assert read_search(folder).status == "finished"
    return trials


@pytest.mark.slow
@pytest.mark.parametrize("order", [("qlora", "lora", "adapters", "full", "lora"), ("full", "adapters", "qlora")])
def test_the_base_is_clean_after_every_method(place, tmp_path, order):
    """Rates differ, so that a method that comes twice is no duplicate."""
    ordered = tmp_path / "ordered.py"
    points = [{"method": method, "learning_rate": 1e-2 / (1 + number)} for number, method in enumerate(order)]
    ordered.write_text(
        "from graft.search.strategies.base import Strategy\n"
        "class Ordered(Strategy):\n"
        "    name = 'ordered'\n"
        "    help = 'one after the other'\n"
        "    def propose(self, space, number, seed, past, greater_is_better):\n"
        f"        return {points}[number - 1]\n",
        encoding="utf-8",
    )
    space = {"method": sorted(set(order)), "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}
    strategy = {"search_strategy": f"{ordered}:Ordered", "num_trials": len(order) + 1, "trust_remote_code": True}
    folder = searched(place, tmp_path / "search", space, **strategy)
    trials = check_equal_to_runs(place, folder, tmp_path)
    assert [trial.settings["method"] for trial in trials[1:]] == list(order)


@pytest.mark.slow
def test_a_new_head_is_drawn_alike_in_every_trial(place, tmp_path):
    more = {"task": "text-classification"}
    folder = searched(place, tmp_path / "search", {"lora_r": [2, 4], "method": ["lora", "full"]}, num_trials=4, **more)
    check_equal_to_runs(place, folder, tmp_path, **more)


@pytest.mark.slow
def test_prompt_templates_are_searched(place, tmp_path):
    templates = ["Tone: {text}\nAnswer: ", "{text} is "]
    more = {"prompt_template": "{text}: ", "completion_template": "{label}"}
    folder = searched(place, tmp_path / "search", {"prompt_template": templates}, search_strategy="grid", **more)
    trials = check_equal_to_runs(place, folder, tmp_path, **more)
    assert {trial.settings["prompt_template"] for trial in trials[1:]} <= set(templates) and len(trials) > 1


@pytest.mark.slow
def test_base_models_of_one_tokenizer_are_searched(place, tmp_path):
    models = [str(place[0]), str(tiny_model_folder(tmp_path, "qwen2"))]
    folder = searched(place, tmp_path / "search", {"model_name_or_path": models}, search_strategy="grid")
    trials = check_equal_to_runs(place, folder, tmp_path)
    assert len({trial.value for trial in trials}) == 2


def other_tokenizer(folder):
    """A model of the same words with other tokens."""
    model = tiny_model_folder(folder, "gpt2")
    tokenizer = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["merges"] = []
    (model / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return str(model)


def test_losses_of_other_tokens_are_not_compared(place, tmp_path):
    space = {"model_name_or_path": [str(place[0]), other_tokenizer(tmp_path)]}
    with pytest.raises(InputError, match="over other tokens") as error:
        searched(place, tmp_path / "search", space)
    assert "--metric_for_best_model" in error.value.problems[0].remedy
    assert not (tmp_path / "search").exists()


@pytest.mark.slow
def test_answers_of_other_tokens_are_compared(place, tmp_path):
    space = {"model_name_or_path": [str(place[0]), other_tokenizer(tmp_path)]}
    more = {"search_strategy": "grid", "metric_for_best_model": "accuracy"}
    folder = searched(place, tmp_path / "search", space, **more)
    trials = read_trials(folder)
    assert read_search(folder).metric == "accuracy" and [trial.status for trial in trials].count("completed") == 2


@pytest.mark.slow
def test_a_teacher_is_loaded_once(place, tmp_path, monkeypatch):
    from graft.training.losses import distillation

    loaded, load = [], distillation.load_teacher
    monkeypatch.setattr(distillation, "load_teacher", lambda opened: loaded.append(opened) or load(opened))
    more = {"teacher": str(place[0]), "learning_rate": 1e-2}
    folder = searched(place, tmp_path / "search", {"lora_r": [2, 4, 6]}, search_strategy="grid", **more)
    in_search = len(loaded)
    trials = check_equal_to_runs(place, folder, tmp_path, **more)
    assert len(trials) == 4 and trials[0].untouched is not None
    assert in_search <= 3  # for the trials, for the winner's run, and for its score on rows that no trial saw
