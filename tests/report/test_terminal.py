"""``graft show``: what the terminal prints, and the same as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from graft.report import print_run, run_summary
from report import sample_run

SAMPLES = [sample_run.classification, sample_run.free_text, sample_run.failed]


def printed(run: Path, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_run(run, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("width", [60, 140])
def test_fits_the_terminal(sample: Callable[[Path], Path], width: int, tmp_path: Path) -> None:
    text = printed(sample(tmp_path), width)
    assert max(len(line) for line in text.splitlines()) <= width


def test_says_what_matters(tmp_path: Path) -> None:
    text = printed(sample_run.classification(tmp_path))
    for words in (
        "tone of tweets",
        "finished",
        "Accuracy",
        "Held out",
        "Best step",
        "metrics.jsonl",
        "Tuning fixed",
    ):
        assert words in text


def test_scores_to_beat_are_a_sentence(tmp_path: Path) -> None:
    run = sample_run.classification(tmp_path)
    document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    document["baselines"] = {"tfidf": {"accuracy": {"value": 0.4321, "low": 0.4, "high": 0.46, "n": 571}}}
    (run / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
    text = printed(run)
    assert "Scores to beat (accuracy): TF-IDF 0.432 (0.400–0.460)." in text and text.count("TF-IDF") == 1


def test_markup_in_names_is_text(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"task_name": "[red]x[/nonsense]", "status": "finished"}))
    assert "[red]x[/nonsense]" in printed(tmp_path)


@pytest.mark.parametrize("sample", SAMPLES)
def test_summary_is_json(sample: Callable[[Path], Path], tmp_path: Path) -> None:
    found = json.loads(json.dumps(run_summary(sample(tmp_path))))
    assert found["status"] in ("finished", "failed") and found["verdict"]


def test_empty_folder(tmp_path: Path) -> None:
    assert "This run has no records" in printed(tmp_path)
    assert run_summary(tmp_path)["scores"] == {}
