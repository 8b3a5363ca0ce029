import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docs.pages import ROOT, blocks
from graft.cli.main import main
from graft.commands.settings_check import check_workflow
from graft.documents import parse_yaml
from graft.errors import InputError

WRONG = """\
model:
  type: PyTorchModel
  config:
    model_pth: "x"
data_configs:
  - name: main
    load_dataset_config: {data_file: "d.json", split: train}
training_config: {fp16: maybe, optim: adamw_troch}
passes:
  lora:
    type: LoRA
    config:
      r: -1
      lora_alhpa: 3
      max_steps: 5
      num_train_epochs: 2
      train_data_config: mian
  second: {type: LoRAX}
  third: {type: prepare, config: {stepps: [html]}}
  full: {data_files: w.yml, lora_r: 8}
output_path: [1]
"""
EXPECTED = [
    (4, 5, "model_pth", "did you mean model_path?"),
    (7, 27, "data_file", "did you mean data_files?"),
    (8, 19, "fp16 must be true or false", ""),
    (8, 32, "optim must be", "did you mean adamw_torch?"),
    (13, 10, "r must be a whole number above 0, not -1", ""),
    (14, 7, "lora_alhpa", "did you mean lora_alpha?"),
    (16, 7, "would do nothing", "omit one of the two"),
    (17, 26, "unknown data configuration 'mian'", "did you mean main?"),
    (18, 18, "unknown pass type 'LoRAX'", "did you mean lora?"),
    (19, 35, "stepps", "did you mean steps?"),
    (20, 10, "w.yml: no such file", "did you mean w.yaml?"),
    (20, 29, "--lora_r 8 is not used by --method full", "omit it, or use --method"),
    (21, 14, "output_path accepts one value", ""),
]


@pytest.fixture
def wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.yaml").write_text(WRONG, encoding="utf-8")
    return "w.yaml"


def test_everything_is_said_at_once_with_its_place(wrong, capsys):
    assert main(["config", "check", wrong, "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    said = [(problem["line"], problem["column"]) for problem in found["problems"]]
    assert said == [(line, column) for line, column, _, _ in EXPECTED]
    for problem, (_, _, what, remedy) in zip(found["problems"], EXPECTED, strict=True):
        assert what in problem["what"] and problem["remedy"].startswith(remedy), problem
        assert problem["file"] == wrong


def test_the_page_prints_what_is_printed(tmp_path, monkeypatch, capsys):
    page = ROOT / "docs" / "how-to" / "settings-files.md"
    (block,) = (block for block in blocks(page) if block.title == "mails.yaml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mails.yaml").write_text(block.text, encoding="utf-8")
    (tmp_path / "mails.jsonl").touch()
    assert main(["config", "check", "mails.yaml"]) == 2
    assert f"```text\n{capsys.readouterr().err}```" in page.read_text(encoding="utf-8")


def test_people_read_lines(wrong, capsys):
    assert main(["config", "check", wrong]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("error: w.yaml:") == len(EXPECTED)
    assert "error: w.yaml:14:7: unknown setting lora_alhpa\n    did you mean lora_alpha?\n" in said.err


def test_run_says_the_same_places(wrong, capsys):
    assert main(["run", wrong]) == 2
    said = capsys.readouterr().err
    assert "w.yaml:14:7: unknown setting lora_alhpa" in said and "w.yaml:8:19: fp16 must be" in said


@pytest.mark.parametrize(
    ("command", "text", "expected"),
    [
        ("finetune", "max_step: 3\ntraining_arguments:\n  max_grad_norm: wide\n", ("s.yaml:1:1", "s.yaml:3:3")),
        ("prepare", "steps: [html]\nseeed: 3\n", ("s.yaml:2:1",)),
        ("doctor", "max_length: short\n", ("s.yaml:1:13",)),
        ("evaluate", "metric: a\nbatch_size: -1\n", ("s.yaml:1:1",)),
        ("auto-opt", "precision: int3\n", ("s.yaml:1:12",)),
        ("generate-adapter", "parity_rows: no\n", ("s.yaml:1:14",)),
    ],
)
def test_commands_name_the_places_in_their_files(command, text, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n', encoding="utf-8")
    words = {"finetune": ["M", "rows.jsonl"], "generate-adapter": [], "auto-opt": ["M"]}.get(command, ["rows.jsonl"])
    assert main([command, *words, "--config", "s.yaml"]) == 2
    said = capsys.readouterr().err
    assert all(f"{place}: " in said for place in expected), said
    assert main(["config", "check", "s.yaml", "--command", command]) == 2
    said = capsys.readouterr().err
    assert all(f"{place}: " in said for place in expected), said


def test_a_file_without_mistakes(tmp_path, capsys):
    path, rows = tmp_path / "w.yaml", tmp_path / "rows.jsonl"
    rows.write_text("{}\n", encoding="utf-8")
    path.write_text(
        f"model: a/b\ndata_files: {rows}\npasses: {{clean: {{type: prepare}}, lora: {{r: 8}}}}\n", encoding="utf-8"
    )
    assert main(["config", "check", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: nothing is wrong: 2 passes (clean, lora)\n"
    assert main(["config", "check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(path), "problems": []}
    path.write_text("eval_share: 0.1\n", encoding="utf-8")
    assert main(["config", "check", str(path), "--command", "doctor"]) == 0
    assert "settings of graft doctor" in capsys.readouterr().out


def test_code_is_not_run_without_consent(tmp_path, capsys):
    (tmp_path / "own.py").write_text("raise SystemExit(7)", encoding="utf-8")
    path = tmp_path / "w.yaml"
    path.write_text(f"passes: {{own: {{type: '{tmp_path / 'own.py'}:Own'}}}}\n", encoding="utf-8")
    assert main(["config", "check", str(path)]) == 2
    assert "this file names code to run" in capsys.readouterr().err


_NAMES = st.sampled_from(
    [
        *("model", "passes", "data_configs", "training_config", "type", "config", "lora", "LoRA", "prepare", "steps"),
        *("learning_rate", "lr", "r", "fp16", "name", "load_dataset_config", "data_files", "output_path", "full"),
        *("train_data_config", "training_args", "training_arguments", "params", "workflow_id", "method", "loss"),
        *("search_space", "search_strategy", "low", "high", "values", "num_trials", "random", "x", "-", "a-b"),
    ]
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    _NAMES.filter(lambda name: ":" not in name),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_NAMES, inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_NAMES, _VALUES, max_size=5))
def test_whatever_a_file_contains_is_accepted_or_refused_in_words(document):
    with suppress(InputError):
        assert check_workflow(document, "w.yaml").steps


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet="ab: {}[]-\n\t'\"&*#|>!%@`,?~$<1.e")))
def test_whatever_text_a_file_contains_is_accepted_or_refused_with_its_place(text):
    with suppress(InputError):
        found = parse_yaml(text, "w.yaml")
        assert not isinstance(found, dict) or check_workflow(found, "w.yaml").steps
