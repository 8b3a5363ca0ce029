"""Events: what a run is doing, a JSON object a line, on stderr and in the run folder, and how it ended."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from graft import finetune
from graft.cli.main import main
from graft.cli.progress import choose_form
from graft.errors import GraftError, InputError, Interrupted
from graft.events import KEPT, PHASES, Events
from graft.progress import SILENT, Silent, enter
from tiny_models import tiny_model_folder


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Old:
    """A reporter of somebody else, from before there were phases."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def note(self, text: str) -> None:
        self.heard.append(text)

    def step(self, step: int, steps: int, figures: dict[str, float]) -> None:
        self.heard.append((step, steps))

    def advance(self, what: str, done: int, total: int, detail: str = "") -> None:
        self.heard.append((what, done, total))


def test_what_came_before_the_folder_is_in_it_and_the_end_is_last(tmp_path: Path) -> None:
    lines: list[str] = []
    events = Events(SILENT, lines.append)
    events.phase("importing")
    events.phase("reading")
    with events.into(tmp_path):
        events.phase("step")
        events.step(1, 2, {"loss": 1.0})
        events.step(2, 2, {"loss": float("nan")})
        events.advance("base: scoring", 1, 1)
    found = read(tmp_path / "events.jsonl")
    assert [event["phase"] for event in found] == ["importing", "reading", "step", "step", "step", "step", "done"]
    assert found[3]["figures"] == {"loss": 1.0} and found[4]["figures"] == {"loss": None}
    assert all(datetime.fromisoformat(event["time"].replace("Z", "+00:00")).tzinfo for event in found)
    assert [event["seconds"] for event in found] == sorted(event["seconds"] for event in found)
    assert [json.loads(line) for line in lines] == found[:-1]  # the command itself says that it is done


def test_a_step_of_a_run_is_one_event_with_its_own_figures(tmp_path: Path) -> None:
    data = tmp_path / "tone.jsonl"
    rows = [{"text": f"number {n}", "label": ("good", "bad")[n % 2]} for n in range(40)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = {"model_name_or_path": str(tiny_model_folder(tmp_path, "llama")), "data_files": str(data)}
    settings |= {"max_steps": 6, "logging_steps": 2, "eval_steps": 3, "evaluate": False}
    run = finetune(settings | {"output_path": str(tmp_path / "run")})
    found = [event for event in read(run / "events.jsonl") if "step" in event]
    logged = {(line["step"], name): line[name] for line in read(run / "metrics.jsonl") for name in line}
    steps = [event["step"] for event in found if event["phase"] == "step"]
    evaluations = [event["step"] for event in found if event["phase"] == "evaluating"]
    assert steps == sorted(set(steps)) and {2, 4, 6} <= set(steps)
    assert evaluations == [3, 6]
    for event in found:
        assert {name: logged[event["step"], name] for name in event["figures"]} == event["figures"]
        assert "step" not in event["figures"]
        assert ("eval_loss" in event["figures"]) == (event["phase"] == "evaluating")
        assert ("loss" in event["figures"]) == (event["phase"] == "step" and event["step"] % 2 == 0)


def test_a_step_without_figures_is_written_when_none_can_follow(tmp_path: Path) -> None:
    events = Events(SILENT)
    with events.into(tmp_path):
        events.step(1, 3, {})
        events.step(1, 3, {"step": 1, "loss": 1.0})
        events.step(2, 3, {"step": 1, "loss": 1.0})
        events.step(3, 3, {"step": 1, "loss": 1.0})
    found = [(event["step"], event["figures"]) for event in read(tmp_path / "events.jsonl") if "step" in event]
    assert found == [(1, {"loss": 1.0}), (3, {})]


@pytest.mark.parametrize(
    ("error", "phase"), [(GraftError("the disk is full"), "failed"), (Interrupted("Ctrl-C"), "interrupted")]
)
def test_how_it_ended(tmp_path: Path, error: GraftError, phase: str) -> None:
    with pytest.raises(GraftError), Events(SILENT).into(tmp_path):
        raise error
    (last,) = read(tmp_path / "events.jsonl")
    assert (last["phase"], last["message"]) == (phase, str(error)) and phase in PHASES


def test_a_line_that_a_killed_process_left_is_ended(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"phase": "st', encoding="utf-8")
    with Events(SILENT).into(tmp_path):
        pass
    cut, last = (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert cut == '{"phase": "st' and json.loads(last)["phase"] == "done"


def test_steps_are_written_seldom_and_what_is_kept_is_bounded(tmp_path: Path) -> None:
    events = Events(SILENT)
    for step in range(10 * KEPT):
        events.step(step, 10 * KEPT, {"loss": 1.0})
        events.note("again")
    with events.into(tmp_path):
        pass
    found = read(tmp_path / "events.jsonl")
    assert len(found) == KEPT + 1 and sum("step" in event for event in found) < KEPT / 10


def test_reporters_without_phases_are_told_everything_else(tmp_path: Path) -> None:
    old = Old()
    events = Events.of(old)  # type: ignore[arg-type]
    with events.into(tmp_path):
        events.phase("step")
        events.note("hello")
        events.step(1, 2, {})
    enter(old, "step")  # type: ignore[arg-type]
    assert old.heard == ["hello", (1, 2)] and Events.of(events) is events


def test_secrets_and_lone_surrogates_are_not_written(tmp_path: Path) -> None:
    events = Events(Silent())
    with events.into(tmp_path):
        events.note("https://me:pass@example.org/x?token=abcdef hf_abcdefghijkl half \udcff \x1b[31m")
    text = (tmp_path / "events.jsonl").read_text(encoding="ascii")
    assert "pass" not in text and "abcdef" not in text and "\x1b" not in text


def test_a_mistake_is_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert main(["finetune", "nowhere/model", "--progress", "jsonl"]) == 2
        assert main(["evaluate", "nowhere", "--json", "--progress", "jsonl"]) == 2
    finally:
        choose_form("auto")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [json.loads(line)["phase"] for line in lines].count("failed") == 2
    with pytest.raises(InputError, match="jsonl"):
        choose_form("json")
