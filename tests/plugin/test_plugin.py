"""A package with one extension of each kind is built, installed, and goes the whole way through graft."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_models import tiny_model_folder

HERE = Path(__file__).parent / "graft_example_plugin"


@pytest.fixture(scope="module")
def graft(tmp_path_factory):
    """``graft`` in a process of its own, which has the package, installed by pip without a network, on its path."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(HERE, folder / "source")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(folder / "site")]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    own = Path(__import__("graft").__file__).parents[1]
    path = os.pathsep.join([str(folder / "site"), str(own), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}

    def run(*words, code=0):
        line = [sys.executable, "-m", "graft.cli.main", *map(str, words)]
        done = subprocess.run(line, capture_output=True, env=environment, check=False, encoding="utf-8")
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    lines = [f"say {word}|{word}" for word in ("one", "two", "three", "four", "five", "six", "seven", "eight")]
    (folder / "rows.pipes").write_text("\n".join(["call|echo", *lines]) + "\n", encoding="utf-8")
    tiny_model_folder(folder, "llama")
    return folder, next(path for path in folder.iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def run(graft, files):
    folder, model = files
    words = ["--task", "echo", "--method", "scale", "--my_start", "1.5", "--loss", "weighted", "--target_weight", "0.5"]
    words += ["--max_steps", "2", "--metrics", "same_length,perplexity"]
    graft("finetune", model, folder / "rows.pipes", "-o", folder / "run", *words)
    return folder / "run"


def test_its_command_and_its_options_are_in_the_help(graft):
    out = graft("--help").stdout
    assert "greet              greet somebody" in out
    out = graft("greet", "--help").stdout
    assert "usage: graft greet [--whom NAME]" in out and "whom to greet (default: you) [also --name]" in out
    assert graft("greet", "--name", "Ada").stdout == "hello, Ada\n"
    assert "did you mean whom?" in graft("greet", "--whon", "Ada", code=2).stderr
    out = graft("finetune", "--help").stdout
    for line in ("  --scale_start X", "  --target_weight X"):
        assert line in out.splitlines()
    assert "[also --my_start] [scale]" in out
    assert "--copies N" in graft("auto-opt", "--help").stdout
    properties = json.loads(graft("finetune", "--help", "--json").stdout)["properties"]
    assert properties["scale_start"]["aliases"] == ["my_start"]


def test_a_run_with_all_of_them(run):
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["task"]["name"] == "echo" and manifest["method"]["title"] == "one factor"
    assert manifest["settings"]["scale_start"] == 1.5 and manifest["settings"]["target_weight"] == 0.5
    evaluation = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    base, tuned = (evaluation["predictors"][name] for name in ("base", "tuned"))
    assert base["perplexity"] != tuned["perplexity"] and "same_length" in base


def test_it_is_evaluated_chatted_with_and_exported(graft, run):
    before = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["predictors"]["tuned"]["perplexity"]
    out = json.loads(graft("evaluate", run, "--metrics", "perplexity,same_length", "--json").stdout)
    assert out["predictors"]["tuned"]["perplexity"]["value"] == pytest.approx(before["value"], rel=1e-4)
    assert graft("chat", run, "--prompt", "say one", "--max_new_tokens", "2", "--json").stdout
    graft("auto-opt", run, "--format", "copies", "--copies", "2", "-o", run.parent / "bundle")
    assert (run.parent / "bundle" / "1" / "model.safetensors").is_file()


def test_an_option_of_another_component_is_refused_with_those_that_take_it(graft, files):
    folder, model = files
    words = ("--scale_start", 2, "--target_weight", 2, "-o", folder / "no")
    error = graft("finetune", model, folder / "rows.pipes", *words, code=2).stderr
    assert "--scale_start 2.0 is not used by --method lora\n    omit it, or use --method scale" in error
    assert "--target_weight 2.0 is not used by --loss cross-entropy\n    omit it, or use --loss weighted" in error
    assert not (folder / "no").exists()


def test_a_workflow_with_its_pass(graft, files):
    folder, model = files
    common = {"model_name_or_path": str(model), "data_files": str(folder / "rows.pipes"), "output_dir": "flow"}
    scale = {"type": "scale", "config": {"my_start": 1.25, "max_steps": 1, "evaluate": False}}
    document = {**common, "passes": {"tune": scale, "measure": {"type": "size", "config": {"unit": 2}}}}
    document["output_dir"] = str(folder / "flow")
    (folder / "flow.yaml").write_text(json.dumps(document), encoding="utf-8")
    graft("run", "--config", folder / "flow.yaml")
    size = sum(file.stat().st_size for file in (folder / "flow" / "tune" / "adapter").iterdir())
    assert (folder / "flow" / "measure" / "size.txt").read_text(encoding="utf-8") == str(size // 2)


def test_its_check_runs_in_doctor_and_before_training(graft, files):
    folder, model = files
    lines = [f"say {word}|{word}" for word in ("one", "two", "three", "four", "five", "six", "seven", "eight")]
    rows = folder / "loud.pipes"
    rows.write_text("\n".join(["call|echo", *lines, "SAY NINE NOW|nine"]) + "\n", encoding="utf-8")
    assert "--most_capitals X" in graft("doctor", "--help").stdout
    out = graft("doctor", rows, "--fail_on", "warning", "--checks", "shouting", code=3).stdout
    assert "1 row is in capital letters [shouting]" in " ".join(out.split()) and "loud.pipes:10" in out
    strict = json.loads(graft("doctor", rows, "--checks", "shouting", "--most_capitals", "1", "--json").stdout)
    assert strict["checks"] == ["shouting"] and strict["findings"] == []
    words = ("--task", "echo", "--max_steps", "1", "--evaluate", "false", "--eval_share", "0.3")
    plan = json.loads(graft("finetune", model, rows, *words, "--dry_run", "--json").stdout)
    found = [finding for finding in plan["findings"] if finding["kind"] == "shouting"]
    assert found[0]["places"] == [f"{rows}:10"] and found[0]["count"] == 1
    said = graft("finetune", model, rows, *words, "-o", folder / "loud").stderr
    assert "warning: 1 row is in capital letters" in said and "graft doctor" in said
    manifest = json.loads((folder / "loud" / "manifest.json").read_text(encoding="utf-8"))
    assert found[0] in manifest["data"]["findings"]
    assert "1 row is in capital letters" in graft("show", folder / "loud").stdout
    report = (folder / "loud" / "report.html").read_text(encoding="utf-8")
    assert "1 row is in capital letters" in report and str(folder) not in report


def test_its_step_prepares_data_by_its_option_and_as_a_pass(graft, files):
    folder, model = files
    out = graft("prepare", "--help").stdout
    assert "truncate texts after some words" in out and "--most_words N" in out and "[shorten]" in out
    rows = folder / "long.pipes"
    lines = [
        f"say {word} once more|{word}" for word in ("one", "two", "three", "four", "five", "six", "seven", "eight")
    ]
    rows.write_text("\n".join(["call|echo", *lines]) + "\n", encoding="utf-8")
    cut = graft("prepare", rows, "-o", folder / "cut", "--most_words", "2").stdout
    assert "shorten" in cut and "8 changed" in cut
    first = json.loads((folder / "cut" / "train.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first == {"call": "say one", "echo": "one"}
    again = graft("prepare", folder / "cut", "-o", folder / "again", "--most_words", "2", "--json").stdout
    assert json.loads(again)["changes"]["shorten"] == {}
    tune = {"type": "lora", "task": "echo", "config": {"max_steps": 1, "evaluate": False}}
    passes = {"short": {"type": "shorten", "most_words": 2}, "tune": tune}
    document = {"model_name_or_path": str(model), "data_files": str(rows), "output_dir": str(folder / "shortened")}
    (folder / "short.yaml").write_text(json.dumps({**document, "passes": passes}), encoding="utf-8")
    graft("run", "--config", folder / "short.yaml")
    trained = (folder / "shortened" / "tune" / "data" / "train.jsonl").read_text(encoding="utf-8")
    assert '"say ' in trained and "once more" not in trained


def test_its_strategy_proposes_the_trials_of_a_search(graft, files):
    folder, model = files
    out = graft("search", "--help").stdout
    assert "halton" in out and "--halton_skip N" in out
    words = ["--task", "echo", "--search_space", "learning_rate=0.001..0.1", "--num_trials", "4", "--max_steps", "1"]
    words += ["--search_strategy", "halton", "--halton_skip", "2", "--no_evaluate", "--eval_share", "0.4"]
    done = graft("search", model, folder / "rows.pipes", "-o", folder / "searched", *words)
    assert "learning_rate" in done.stderr
    lines = (folder / "searched" / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    rates = [json.loads(line)["settings"].get("learning_rate") for line in lines]
    # The first trial has the defaults; trial n has the point n + 2 of base 2: 3 is 0.75, 4 is 0.125, 5 is 0.625.
    assert rates[1:] == pytest.approx([0.001 + 0.099 * place for place in (0.75, 0.125, 0.625)])
