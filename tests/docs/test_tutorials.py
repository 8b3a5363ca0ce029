"""The tutorials, followed command by command on a tiny model."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from docs.pages import ROOT, commands
from graft.cli import demo
from graft.cli.main import main
from tiny_models import tiny_model_folder

TUTORIALS = ROOT / "docs" / "tutorials"
TICKETS = [
    {"text": f"{text}, case {number}", "label": label}
    for number in range(12)
    for text, label in (
        ("The invoice shows last month's address", "billing"),
        ("The app closes when I open a photo", "bug"),
        ("Can you add a dark mode", "feature"),
    )
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("models"), "llama", width=64)


@pytest.fixture
def place(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the files that the tutorials speak of; the demo takes the tiny model and two steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n/quit\n"))
    monkeypatch.setattr(demo, "DEMO", {**demo.DEMO, "model_name_or_path": str(tiny), "max_steps": 2})
    for name in ("tickets.jsonl", "other-tickets.jsonl"):
        lines = "".join(json.dumps(row) + "\n" for row in TICKETS)
        Path(name).write_text(lines, encoding="utf-8")
    return tmp_path


def follow(page: str, tiny: Path, changed: dict[tuple[str, ...], list[str]]) -> None:
    """Run the commands of a page in order. ``changed`` adds options to those that begin with its words, so that they
    take seconds. A random model may fail the parity gate (exit code 3)."""
    for command in commands(TUTORIALS / page):
        words = [str(tiny) if word == "smollm2-135m-instruct" else word for word in command.words]
        for start, more in changed.items():
            if tuple(words[: len(start)]) == start:
                words += more
        assert main(words) in ({0, 3} if words[0] == "auto-opt" else {0}), command


@pytest.mark.slow
def test_first_run(tiny: Path, place: Path) -> None:
    follow("first-run.md", tiny, {("chat",): ["--max_new_tokens", "4"]})
    assert (place / "demo-run" / "report.html").is_file()


@pytest.mark.slow
def test_your_own_data(tiny: Path, place: Path) -> None:
    quick = ["--max_steps", "3", "--bootstrap_samples", "100"]
    follow("your-own-data.md", tiny, {("finetune", str(tiny)): quick})
    assert (place / "runs" / "tickets-elsewhere" / "evaluation.json").is_file()


@pytest.mark.slow
def test_ship_it(tiny: Path, place: Path) -> None:
    pytest.importorskip("onnxruntime_genai")
    assert main(["demo", "-o", "demo-run"]) == 0
    follow("ship-it.md", tiny, {("chat",): ["--max_new_tokens", "4"], ("auto-opt",): ["--parity_rows", "8"]})
    assert (place / "demo-onnx" / "model.onnx").is_file()
