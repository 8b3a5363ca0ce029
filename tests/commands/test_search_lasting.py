"""A search over many trials keeps no memory of them, and one that is killed goes on to the same trials."""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest

from graft.commands.search import search
from graft.progress import Silent
from graft.runs.manifest import read_search, read_trials
from small_runs import tone_file
from tiny_models import tiny_model_folder

GRAFT = (sys.executable, "-c", "from graft.cli.main import main; raise SystemExit(main())")


@pytest.fixture
def place(tmp_path):
    return tiny_model_folder(tmp_path), tone_file(tmp_path, 20)


class Memory(Silent):
    """The resident memory after each trial, in bytes."""

    def __init__(self):
        self.after = []

    def note(self, text):
        if text.startswith("trial "):
            self.after.append(psutil.Process().memory_info().rss)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_trials(tmp_path):
    place = tiny_model_folder(tmp_path, width=256), tone_file(tmp_path, 20)
    size = sum(file.stat().st_size for file in place[0].glob("*.safetensors"))
    memory = Memory()
    settings = {"max_steps": 2, "eval_share": 0.4, "batch_size": 8, "evaluate": False, "prune": False, "num_trials": 9}
    settings |= {"model_name_or_path": str(place[0]), "data_files": str(place[1]), "method": "full"}
    settings |= {"search_space": "learning_rate=1e-4..1e-2 log", "output_path": str(tmp_path / "search")}
    search(settings, memory)
    assert len(memory.after) == 9
    assert memory.after[8] - memory.after[3] < 2 * size, [each >> 20 for each in memory.after]  # five trials keep none


def command(place, folder, *more):
    words = ["--model_name_or_path", place[0], "--data_files", place[1], "--max_steps", 8, "--eval_share", 0.4]
    words += ["--batch_size", 8, "--evaluate", "false", "--num_trials", 5, "--search_strategy", "random"]
    words += ["--search_space", "learning_rate=1e-3..1e-1 log, lora_dropout=0|0.2, method=lora|full"]
    return [*GRAFT, "search", *map(str, words), "-o", str(folder), *more]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_search_that_was_killed_goes_on_to_the_same_trials(place, tmp_path):
    chance, whole, folder = random.Random(9), tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(place, whole), check=True, capture_output=True)
    kills = 0
    for _ in range(2):
        words = command(place, folder) if not (folder / "manifest.json").exists() else []
        running = subprocess.Popen(
            words or [*GRAFT, "search", "--resume", "-o", str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        before = len(read_trials(folder)) if words == [] else 0
        while running.poll() is None and (not (folder / "trials.jsonl").exists() or len(_lines(folder)) <= before):
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.6))
        if running.poll() is None:
            os.kill(running.pid, signal.SIGKILL)
            kills += 1
        running.wait()
    assert kills
    if read_search(folder).status != "finished":
        resume = [*GRAFT, "search", "--resume", "-o", str(folder)]
        ended = subprocess.run(resume, check=False, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
    told = [[{**trial.document(), "seconds": 0} for trial in read_trials(each)] for each in (folder, whole)]
    assert told[0] == told[1]
    assert read_search(folder).winner == read_search(whole).winner and read_search(folder).status == "finished"
    files = [file.relative_to(whole) for file in (whole / "best").rglob("*.safetensors")]
    assert files and all((whole / file).read_bytes() == (folder / file).read_bytes() for file in files)


def _lines(folder):
    return (folder / "trials.jsonl").read_bytes().splitlines()
