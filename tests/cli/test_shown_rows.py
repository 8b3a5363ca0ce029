"""``--show`` and ``--dry_run`` print rows as the model sees them."""

import json

import pytest

from graft.cli.main import main
from tiny_models import tiny_model_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_model_folder(tmp_path_factory.mktemp("models")))


@pytest.fixture
def file(tmp_path):
    rows = [{"prompt": f"mail bob{n}@example.com", "completion": f"c{n}"} for n in range(20)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


SHOWN = "<|im_start|>user\nmail [e-mail]<|im_end|>\n<|im_start|>assistant\n"


def test_first_rows_are_shown_with_special_tokens_marks_and_masks(model, file, capsys):
    assert main(["doctor", file, "--model", model, "--show", "2", "--checks", "lengths"]) == 0
    said = capsys.readouterr().out
    assert f"rows.jsonl:1: {SHOWN}" not in said and said.count("⟦") == 3
    assert f"{SHOWN}⟦c0<|im_end|>⟧" in said and f"{SHOWN}⟦c1<|im_end|>⟧" in said and "@example" not in said
    assert main(["finetune", model, file, "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert said.count(SHOWN) == 3 and "@example" not in said and said.endswith("is computed on. Nothing was trained.\n")


def test_trained_tokens_are_in_color_unless_no_color_is_set(model, file, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    words = ["doctor", file, "--model", model, "--show", "1", "--checks", "lengths"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "\x1b[30;42mc0<|im_end|>\x1b[0m" in said and "⟦" not in said and "Green marks" in said
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(words) == 0
    assert f"{SHOWN}⟦c0<|im_end|>⟧" in capsys.readouterr().out


def test_rows_are_in_the_document(model, file, capsys):
    words = ["doctor", file, "--model", model, "--show", "1", "--checks", "lengths", "--max_length", "40", "--json"]
    assert main(words) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows_shown"]
    assert row["origin"].endswith("rows.jsonl:1") and len(row["tokens"]) == 2
    assert sum(row["tokens"]) == 40 and row["cut"] > 0
