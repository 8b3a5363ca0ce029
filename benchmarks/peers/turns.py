"""What all workers share: the line to the driver, the clock on ``transformers.Trainer``, the rows.

A worker is started with one JSON argument. It answers with a line of JSON a stop (see ``Clock``), and after each of
them waits for a line: ``go`` or ``stop``. Whatever libraries print goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import transformers.trainer
from memory import peak_mb
from transformers import TrainerCallback


def given() -> dict[str, Any]:
    """The configuration, and in it the ``line`` to the driver: from here on stdout is its alone."""
    line = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return {**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), "line": line}


def rows(config: dict[str, Any]) -> list[dict[str, Any]]:
    """In the order in which they are to be trained: ``input_ids``, ``prompt_length``, ``text``."""
    with Path(config["rows"]).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Clock(TrainerCallback):
    """Times each step from the end of the one before, and at each of ``config["stops"]`` saves the adapter and asks.

    What saving and waiting take is no step's time. The first step's counts from the beginning of training.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self._start()

    def _start(self) -> None:
        self.since, self.cpu_since = time.perf_counter(), time.process_time()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._start()

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.seconds.append(time.perf_counter() - self.since)
        self.cpu_seconds.append(time.process_time() - self.cpu_since)
        if state.global_step in self.config["stops"]:
            adapter = Path(self.config["output"]) / f"adapter-{state.global_step}"
            peak = peak_mb()
            model.save_pretrained(adapter, save_embedding_layers=False)
            answer = {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
            answer |= {"peak_mb": round(peak), "adapter": str(adapter)}
            print(json.dumps(answer), file=self.config["line"], flush=True)
            if sys.stdin.readline().strip() != "go":
                control.should_training_stop = True
                control.should_save = control.should_evaluate = False
        self._start()


def watch(config: dict[str, Any]) -> None:
    """Every Trainer made from now on is timed, whoever makes it."""
    transformers.trainer.DEFAULT_CALLBACKS.append(Clock(config))  # type: ignore[arg-type]
