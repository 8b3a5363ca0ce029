"""The examples of "Extending graft", saved under their names and used as their pages say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from docs.pages import ROOT, blocks, commands
from graft.cli.arguments import parse
from graft.cli.help import command_help
from graft.cli.main import REGISTRY, main
from graft.data.readers import READERS
from graft.errors import Problems
from graft.evaluation.metrics import METRICS
from graft.evaluation.metrics.base import Predictions
from tiny_models import tiny_model_folder
from tiny_task_models import tiny_bert_folder

EXTENDING = ROOT / "docs" / "extending"
ROWS = [
    {"text": f"{text}, number {number}", "label": label}
    for number in range(12)
    for text, label in (("a fine day", "good"), ("an awful mess", "bad"), ("so it is", "neutral"))
]
QUICK = [
    "--max_steps",
    "3",
    "--learning_rate",
    "1e-2",
    "--bootstrap_samples",
    "100",
    "--per_device_train_batch_size",
    "8",
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {"MODEL": str(tiny_model_folder(folder, "llama")), "all-minilm-l6-v2": str(tiny_bert_folder(folder))}


def save_examples(page: str, folder: Path) -> None:
    for block in blocks(EXTENDING / page):
        if block.title and block.title != "pyproject.toml":
            (folder / block.title).write_text(block.text, encoding="utf-8")


def follow(page: str, models: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the page's commands in ``folder``, with tiny models, rows of three classes, and three steps."""
    monkeypatch.chdir(folder)
    save_examples(page, folder)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    names = {**models, "DATA": "rows.jsonl", "RUN": "runs/plain"}
    for command in commands(EXTENDING / page):
        words = [names.get(word, word) for word in command.words]
        assert main([*words, *(QUICK if words[0] == "finetune" else [])]) == 0, command


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_metric(models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    assert main(["finetune", models["MODEL"], "rows.jsonl", "-o", "runs/plain", "--evaluate", "false", *QUICK]) == 0
    follow("metric.md", models, tmp_path, monkeypatch)
    document = read(tmp_path / "runs" / "plain" / "evaluation.json")
    assert document["metrics"]["ends_alike"]["title"] == "same last letter"
    assert "Same last letter" in (tmp_path / "runs" / "plain" / "report.html").read_text(encoding="utf-8")
    corpus = METRICS.get(f"{tmp_path / 'own_corpus_metric.py'}:LENGTH_RATIO")
    found = corpus.statistics(Predictions(references=["ab", "abcd"], answers=["abc", "abc"]))
    assert corpus.value(found.sum(axis=0, keepdims=True)).tolist() == [1.0]
    said = Predictions(["negative"] * 3, ["no no", "yes no", "no"], ["positive", "negative", "positive"])
    for name, value in {"Escalations": 2 / 3, "Recall": 1 / 3, "Vocabulary": 2}.items():
        own = METRICS.get(f"{tmp_path / 'own_class.py'}:{name}")
        assert own.total(own.checked_statistics(said)) == pytest.approx(value)


def test_a_method(models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow("method.md", models, tmp_path, monkeypatch)
    run = tmp_path / "runs" / "bitfit"
    predictions = [json.loads(line) for line in (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    manifest, document = read(run / "manifest.json"), read(run / "evaluation.json")
    assert 0 < manifest["training"]["trainable_parameters"] < 1000
    assert predictions and document["predictors"]["base"] != document["predictors"]["tuned"]


def test_a_loss(models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow("loss.md", models, tmp_path, monkeypatch)
    assert "Tempered" in read(tmp_path / "runs" / "tempered" / "manifest.json")["settings"]["loss"]


def test_a_column_mapping(models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mails = [{"subject": f"order {n}", "body": "where is it?", "reply": f"parcel {n} is on its way"} for n in range(20)]
    (tmp_path / "mails.jsonl").write_text("".join(json.dumps(row) + "\n" for row in mails), encoding="utf-8")
    follow("column-mapping.md", models, tmp_path, monkeypatch)
    rows = (tmp_path / "runs" / "mails" / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(json.loads(row)["prompt"][0]["content"].startswith("order ") for row in rows)


def test_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_examples("command.md", tmp_path)
    (tmp_path / "rows.txt").write_text("a\nb\n", encoding="utf-8")
    command = REGISTRY.get(f"{tmp_path / 'count.py'}:COMMAND")
    assert command.run(parse(["--data_files", str(tmp_path / "rows.txt")])) == 0
    assert capsys.readouterr().out == "2\n"
    assert "--data_files A,B,…" in command_help(command, "count", command.help)


def test_a_reader(tmp_path: Path) -> None:
    save_examples("reader.md", tmp_path)
    file = tmp_path / "rows.ini"
    file.write_text("[a]\ntext = fine\nlabel = good\n[b]\ntext = bad\nlabel = poor\n[c]\n", encoding="utf-8")
    reader, problems = READERS.get(f"{tmp_path / 'ini_reader.py'}:INI"), Problems()
    rows = list(reader.read(file, problems))
    assert [row.columns for row in rows] == [{"text": "fine", "label": "good"}, {"text": "bad", "label": "poor"}]
    assert [str(problem) for problem in problems.found] == [f"{file}:3: this section is empty"]


def test_a_check(
    models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ROWS[2], "text", "SO IT IS, AND LOUDLY")
    follow("check.md", models, tmp_path, monkeypatch)
    out = " ".join(capsys.readouterr().out.split())
    assert "1 of 36 rows are in capital letters [shouting]" in out and "rows.jsonl:3" in out


def test_a_step(models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROWS[2], "text", "and " * 60)
    follow("step.md", models, tmp_path, monkeypatch)
    rows = (tmp_path / "OUT" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(json.loads(rows[2])["text"].split()) == 50 and json.loads(rows[0]) == ROWS[0]
    changes = [
        json.loads(line) for line in (tmp_path / "OUT" / "changes.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [(change["step"], change["origin"]) for change in changes[-1:]] == [("shorten", "rows.jsonl:3")]


def test_a_target(models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    assert main(["finetune", models["MODEL"], "rows.jsonl", "-o", "runs/plain", "--evaluate", "false", *QUICK]) == 0
    follow("target.md", models, tmp_path, monkeypatch)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "plain").num_parameters() > 0
    assert read(tmp_path / "plain" / "manifest.json")["kind"] == "bundle"


def test_a_task(models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow("task.md", models, tmp_path, monkeypatch)
    document = read(tmp_path / "runs" / "sentiment" / "evaluation.json")
    assert next(iter(document["predictors"]["tuned"])) == "macro_f1"


def test_a_workflow_step(models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = EXTENDING / "pass.md"
    monkeypatch.chdir(tmp_path)
    save_examples("pass.md", tmp_path)
    file = tmp_path / "workflow.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("MODEL", models["MODEL"]), encoding="utf-8")
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    for command in commands(page):
        assert main(command.words) == 0
    assert (tmp_path / "runs" / "flow" / "size" / "size.txt").read_text(encoding="utf-8").isdigit()
