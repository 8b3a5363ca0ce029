"""What a run folder says of a run whose process has ended, in whatever way, and what is left of it."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from graft.errors import InputError
from graft.evaluation.compare import Evaluation
from graft.evaluation.store import record_where_possible
from graft.files import HOUR, TEMPORARY, remove_stale
from graft.progress import Silent
from graft.report import write_pages
from graft.runs.folder import BusyError, RunFolder
from graft.runs.view import RunView


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    with folder.lock():
        folder.update_manifest(status="running")
    return folder


def test_running_is_said_nowhere_once_the_process_is_gone(run: RunFolder) -> None:
    assert run.status == RunView.read(run.path).status == "interrupted"
    with pytest.raises(InputError, match=r"already has a run \(interrupted\)"):
        run.check_free()
    with run.lock():
        assert run.status == "running" and RunView.read(run.path).status == "running"


def test_the_pages_of_a_run_say_how_it_ends_before_the_manifest_does(run: RunFolder) -> None:
    write_pages(run.path, status="finished", finished="2026-01-02T03:04:05+00:00")
    assert "Finished" in (run.path / "report.html").read_text(encoding="utf-8")
    assert run.status == "interrupted" and (run.path / "README.md").is_file()


def test_whoever_holds_the_folder_removes_what_a_killed_process_left(run: RunFolder) -> None:
    left = [run.path / f".manifest.json-x{TEMPORARY}", run.path / "data" / f".train.jsonl-y{TEMPORARY}"]
    staged = run.path / f".onnx-int8-z{TEMPORARY}" / f".manifest.json-w{TEMPORARY}"
    for path in (*left, staged):
        path.parent.mkdir(exist_ok=True)
        path.write_text("{", encoding="utf-8")
    assert run.status == "interrupted"  # to look at it removes nothing
    assert all(path.exists() for path in left)
    with run.lock():
        assert not any(path.exists() for path in left)
        assert staged.exists()  # an export may be at work in it


def test_where_there_is_no_lock_only_what_is_old_is_removed(tmp_path: Path) -> None:
    old, young, other = (tmp_path / name for name in (f".a-1{TEMPORARY}", f".a-2{TEMPORARY}", "a"))
    folder = tmp_path / f".onnx-int8-1{TEMPORARY}"  # an export that has been writing its last file for an hour
    folder.mkdir()
    for path in (old, young, other, folder / "model.onnx"):
        path.write_text("", encoding="utf-8")
    for path in (old, other, folder):
        os.utime(path, (time.time() - HOUR - 60,) * 2)
    remove_stale(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([young.name, other.name, folder.name])
    assert (folder / "model.onnx").is_file()
    remove_stale(tmp_path / "nowhere")


class Noting(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_an_evaluation_is_not_recorded_in_a_run_that_is_training(run: RunFolder) -> None:
    heard: Any = Noting()
    with run.lock():
        record_where_possible(run, Evaluation({}, []), heard, write_pages)
    assert heard.notes == [f"nothing was recorded in {run.path}: another graft process is using this folder"]


def test_two_processes_in_one_folder_are_told_apart(run: RunFolder) -> None:
    with run.lock():
        for call in (lambda: RunFolder.create(run.path, overwrite=True), lambda: run.check_free(resume=True)):
            with pytest.raises(BusyError, match="another graft process is using this folder"):
                call()
    RunFolder.create(run.path, overwrite=True)
    assert not (run.path / "manifest.json").exists()
