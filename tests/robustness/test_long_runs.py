"""A long run takes no more memory, files or threads at its end than after its first steps."""

import gc
import os
import threading

import psutil
from torture import rounds, tally

from graft.commands.finetune import finetune
from graft.progress import Silent
from small_runs import tone_file
from tiny_models import tiny_model_folder

MOST_OBJECTS = 3.0
"""New Python objects per step: the log that a checkpoint carries grows by a line every ten steps."""
WARM = 1000
"""Steps until allocators hold what they ever will."""


class Watch(Silent):
    """Measures the process every so many steps; the first quarter of a run fills caches."""

    def __init__(self, steps):
        self.at = {steps // 4: None, steps: None}
        self.process = psutil.Process()

    def step(self, step, steps, figures):
        if self.at.get(step, 0) is None:
            memory = self.process.memory_info().rss / 1e6  # before the list of all objects is made
            gc.collect()
            files = self.process.num_handles() if os.name == "nt" else self.process.num_fds()
            self.at[step] = (files, threading.active_count(), len(gc.get_objects()), memory)


def test_a_long_run_stays_as_it_is(tmp_path):
    steps = rounds(200)
    watch = Watch(steps)
    given = {
        "model_name_or_path": str(tiny_model_folder(tmp_path, "llama")),
        "data_files": str(tone_file(tmp_path, 24)),
        "output_path": str(tmp_path / "run"),
        "max_steps": steps,
        "eval_steps": 20,
        "per_device_train_batch_size": 4,
        "early_stopping_patience": 0,
        "evaluate": False,
    }
    with tally("long runs") as tried:
        run = finetune(given, watch)
        early, late = watch.at.values()
        files, threads, objects, megabytes = (after - before for before, after in zip(early, late, strict=True))
        tried.tried, tried.accepted = steps, steps
        print(f"{steps} steps: {files} files, {threads} threads, {objects} objects, {megabytes:.1f} MB more; {late}")
        if files > 0 or threads > 0 or objects > MOST_OBJECTS * steps or megabytes > (16 if steps // 4 > WARM else 80):
            tried.faults.append(f"{files} files, {threads} threads, {objects} objects, {megabytes:.1f} MB more")
    assert len(list((run / "checkpoints").iterdir())) <= 3
