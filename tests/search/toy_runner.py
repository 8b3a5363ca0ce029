"""A runner without a model: the score of a trial follows from its settings, so that tests of workers are quick."""

import os
import signal
import time
from pathlib import Path

from graft.errors import InputError
from graft.runs.search_manifest import TrialRecord
from graft.search.pruning import Pruner


def make_runner(given, board):
    if given.get("refused"):
        raise InputError("there is no such model", where="search.yaml", remedy="did you mean another?")
    folder = Path(given["folder"])
    with (folder / "workers.txt").open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    print("what libraries print is no message", flush=True)
    os.system("echo nor what their programs print")

    def run(trial):
        with (folder / "starts.txt").open("a", encoding="utf-8") as file:
            file.write(f"{trial.number} {os.getpid()}\n")
        while trial.number and len((folder / "workers.txt").read_text(encoding="utf-8").split()) < given.get(
            "workers", 1
        ):
            time.sleep(0.05)  # until all are there, so that each gets a trial
        value = trial.settings["learning_rate"]
        pruner = Pruner(trial.number, trial.before, board, {2: 0, 4: 1}, False, prunes=trial.number > 0)
        for step in range(1, 6):
            if given.get("killed") == trial.number and step == 3 and (given.get("always") or is_first(folder)):
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(given.get("seconds", 0.0))
            if pruner(step, value + 1 / step):
                return TrialRecord(
                    number=trial.number, settings=trial.settings, status="pruned", steps=step, history=pruner.history
                )
        return TrialRecord(
            number=trial.number, settings=trial.settings, value=value + 0.2, steps=5, history=pruner.history
        )

    return run


def is_first(folder):
    """Whether this is asked for the first time."""
    try:
        (folder / "killed").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
