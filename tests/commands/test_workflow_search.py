import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from graft.cli.main import main
from graft.commands.workflow_convert import converted
from graft.commands.workflow_file import read_workflow
from graft.commands.workflow_schema import workflow_schema
from graft.config import interpolated
from graft.documents import parse_yaml
from graft.errors import InputError
from walkthrough import OLIVE, SEARCH

WRONG = """\
model: a/b
data_files: rows.jsonl
search_strategy: {type: randm, num_trials: 0}
search_space:
  learning_rate: {type: float, low: 1e-3, high: 1e-5}
  weight_decay: {type: float, low: 0, high: 1, log: true}
  lora_rr: {type: int, low: 8, high: 64}
  batch_size: {type: choice, values: []}
passes: {lora: {type: LoRA, config: {lora_alhpa: 3}}}
"""


def step_of(text, **over):
    (step,) = read_workflow(interpolated(parse_yaml(text, "s.yaml"), "s.yaml"), "s.yaml", over).steps
    return step


def test_the_walkthroughs_file_alone_is_a_search():
    step = step_of(SEARCH, model_name_or_path="a/b", data_files="rows.jsonl", max_steps="3")
    assert step.kind == "search" and step.settings.search_strategy == "random" and step.settings.num_trials == 20
    assert set(step.settings.search_space) == {"learning_rate", "lora_r", "batch_size"}
    assert (step.settings.model_name_or_path, step.settings.data_files) == ("a/b", ("rows.jsonl",))
    assert step.settings.max_steps == 3


def test_its_sections_beside_those_of_a_workflow():
    step = step_of(OLIVE + SEARCH, num_trials="4")
    assert step.name == "lora" and step.kind == "search" and step.settings.num_trials == 4
    assert (step.settings.lora_alpha, step.settings.text_template) == (32, "User: {input}\nAssistant: {output}")
    assert step.settings.target_modules == ("c_attn", "c_proj") and step.settings.method == "lora"
    clean = OLIVE.replace("passes:\n", "passes:\n  clean: {type: prepare}\n") + SEARCH
    steps = read_workflow(parse_yaml(clean, "s.yaml"), "s.yaml").steps
    assert [each.kind for each in steps] == ["prepare", "search"]


def test_a_pass_may_search():
    text = (
        "model: a/b\nseed: 3\npasses: {tune: {type: search, config: {search_space: {lora_r: [8, 16]}, lora_alpha: 4}}}"
    )
    step = step_of(text)
    assert (step.settings.search_space, step.settings.lora_alpha, step.settings.seed) == ({"lora_r": [8, 16]}, 4, 3)
    assert step.settings.model_name_or_path == "a/b"
    more = step_of(
        text.replace("lora_alpha: 4", "lora_alpha: 4, num-trials: 7, n_startup_trials: 5, search_strategy: tpe")
    )
    assert (more.settings.num_trials, more.settings.n_startup_trials, more.settings.lora_alpha) == (7, 5, 4)


def test_bad_spaces_are_said_at_once_with_their_places(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(WRONG, encoding="utf-8")
    assert main(["config", "check", "s.yaml", "--json"]) == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    said = {(problem["line"], problem["column"]): problem["what"] + problem["remedy"] for problem in problems}
    for place, what in {
        (2, 1): "rows.jsonl: no such file",
        (3, 25): "randm",
        (3, 44): "num_trials",
        (5, 3): "low 0.001 above high 1e-05",
        (6, 3): "a logarithm needs numbers above 0",
        (7, 3): "did you mean lora_r?",
        (8, 3): "a choice of nothing",
        (9, 38): "did you mean lora_alpha?",
    }.items():
        assert what in said.get(place, ""), (place, said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("passes: {a: {type: LoRA}, b: {type: full}}\n" + SEARCH, "need one pass that tunes, and this file has a, b"),
        ("passes: {clean: {type: prepare}}\n" + SEARCH, "and this file has none"),
        ("search_strategy: random\n", "no search space is given"),
        ("search_space: 3\n", "search_space must be a mapping, not 3"),
    ],
)
def test_what_is_out_of_place(text, said):
    with pytest.raises(InputError, match=said):
        step_of(text)


def test_finetune_names_the_command_that_searches(tmp_path, capsys):
    path = tmp_path / "s.yaml"
    path.write_text(SEARCH, encoding="utf-8")
    assert main(["finetune", "M", "D", "--config", str(path)]) == 2
    assert "s.yaml:3:1: search_strategy is a section of graft search" in capsys.readouterr().err


def test_the_schema_and_the_short_form_have_them():
    validator = Draft202012Validator(workflow_schema())
    assert not list(validator.iter_errors(parse_yaml(OLIVE + SEARCH, "s.yaml")))
    assert list(validator.iter_errors(parse_yaml("search_space: {lora_rr: [8]}", "s.yaml")))
    assert list(validator.iter_errors(parse_yaml("search_space: {lora_r: {tpye: int}}", "s.yaml")))
    short = parse_yaml(converted(parse_yaml(OLIVE + SEARCH, "s.yaml"), "s.yaml").text, "t.yaml")
    (after,) = read_workflow(short, "t.yaml").steps
    assert after.settings == step_of(OLIVE + SEARCH).settings


def test_a_workflow_searches(tiny_llama, tone, tmp_path, capsys):
    path, out = tmp_path / "search.yaml", tmp_path / "out"
    path.write_text(
        "search_strategy: {type: random, num_trials: 2}\nsearch_space: {lora_r: [2, 4]}\n", encoding="utf-8"
    )
    words = ["--model_name_or_path", str(tiny_llama), "--data_files", str(tone), "--max_steps", "2"]
    assert main(["run", "--config", str(path), *words, "--evaluate", "false", "--output_path", str(out)]) == 0
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["kind"] == "search"
    assert (out / "best" / "manifest.json").is_file() and (out / "best.yaml").is_file()


@pytest.mark.parametrize("strategy", ["{type: randm, num_trials: 0}", "randm", "{type: random, n_startup_trials: 3}"])
def test_graft_search_says_the_places_that_config_check_says(tmp_path, monkeypatch, capsys, strategy):
    monkeypatch.chdir(tmp_path)
    space = "search_space: {lora_rr: [8, 16], monitored_rows: [3, 4]}\n"
    Path("s.yaml").write_text(f"lora_alpha: 3\nsearch_strategy: {strategy}\n{space}", encoding="utf-8")
    assert main(["search", "M", "D", "--config", "s.yaml"]) == 2
    searched = capsys.readouterr().err
    assert "loading libraries" not in searched
    assert main(["config", "check", "s.yaml"]) == 2
    checked = capsys.readouterr().err
    said = [line for line in searched.splitlines() if line.startswith("error: ")]
    assert said and all(line.startswith("error: s.yaml:") and line in checked for line in said)
    assert any(line.startswith("error: s.yaml:2:") for line in said)
    assert any("monitored_rows cannot be searched" in line for line in said)
