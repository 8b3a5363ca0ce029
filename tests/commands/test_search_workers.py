"""graft search on several workers makes the trials of one process, though a worker is killed."""

import os
import signal
import sys
import threading
import time

import psutil
import pytest

from graft.commands.search import search
from graft.progress import Silent
from graft.runs.manifest import read_search, read_trials
from small_runs import tone_file
from tiny_models import tiny_model_folder

SPACE = "learning_rate=1e-3..1e-1 log, lora_r=2..6, lora_dropout=0|0.2, method=lora|full"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    return tiny_model_folder(folder), tone_file(folder, 20)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Roundings depend on the number of threads, which several workers divide."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(place, folder, reporter=None, **more):
    model, data = place
    common = {"max_steps": 12, "eval_share": 0.4, "batch_size": 8, "evaluate": False, "num_trials": 8}
    given = {"model_name_or_path": str(model), "data_files": str(data), "search_space": SPACE, **common, **more}
    return search({**given, "output_path": str(folder)}, reporter or Silent())


def trials(folder):
    return [record.model_dump(exclude={"seconds", "worker"}) for record in read_trials(folder)]


@pytest.fixture(scope="module")
def alone(place, tmp_path_factory):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = run(place, tmp_path_factory.mktemp("alone") / "search")
    torch.set_num_threads(before)
    return folder


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


@pytest.mark.slow
def test_two_workers_make_the_trials_of_one_process(place, alone, tmp_path):
    notes = Notes()
    folder = run(place, tmp_path / "search", notes, workers=2)
    assert trials(folder) == trials(alone)
    assert {record.worker for record in read_trials(folder)} <= {"worker 1", "worker 2"}
    assert {record.worker for record in read_trials(alone)} == {"local"}
    assert read_search(folder).winner == read_search(alone).winner and read_search(folder).threads == 1
    files = sorted(file.relative_to(folder) for file in (folder / "best").rglob("*.safetensors"))
    assert files and all((folder / file).read_bytes() == (alone / file).read_bytes() for file in files)
    assert not [said for said in notes.said if "differ" in said]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_killed_worker_loses_one_trial_and_no_more(place, alone, tmp_path):
    folder, notes = tmp_path / "search", Notes()

    def kill_one():
        while not (folder / "trials.jsonl").exists():
            time.sleep(0.05)
        workers = psutil.Process().children(recursive=True)
        named = [each for each in workers if "graft.search.backends.worker" in " ".join(each.cmdline())]
        os.kill(named[0].pid, signal.SIGKILL)

    thread = threading.Thread(target=kill_one, daemon=True)
    thread.start()
    run(place, folder, notes, workers=2)
    thread.join(1)
    assert trials(folder) == trials(alone)
    assert any("was killed (signal 9" in said for said in notes.said)
