"""What 20 trials of the demo's model and data cost, in trainings of the demo, and whether the winner is better.

    python benchmarks/search.py --seeds 42 1 2

The first trial has the demo's settings, so one full training is measured within the same process: a busy machine slows
both. Times are CPU seconds of the process. Both the default and the winner are scored on the demo's 571 test rows.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from graft.cli.demo import DEMO
from graft.commands.evaluate import evaluate_model
from graft.commands.finetune import finetune
from graft.commands.search import search
from graft.progress import Silent
from graft.runs.manifest import read_search, read_trials

SPACE = {
    "learning_rate": {"type": "float", "low": 1e-6, "high": 1e-3, "log": True},
    "lora_r": {"type": "int", "low": 8, "high": 64},
    "batch_size": {"type": "choice", "values": [8, 16, 32]},
}
"""The space of the walkthrough."""


class Clock(Silent):
    """Notes the CPU time at the end of each trial."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def note(self, text: str) -> None:
        """Take the time when a trial says how it ended."""
        print(text, flush=True)
        if text.startswith("trial "):
            self.ends.append(time.process_time())


def measure(folder: Path, seed: int, trials: int) -> dict[str, Any]:
    """Search with a seed; returns the costs and the scores."""
    clock = Clock()
    data = files("graft.demo_data")
    with as_file(data / "tone-train.jsonl") as train, as_file(data / "tone-test.jsonl") as test:
        shared = {**DEMO, "data_files": str(train), "seed": seed}
        study = {"search_space": SPACE, "num_trials": trials, "output_path": str(folder / f"search-{seed}")}
        began = time.process_time()
        done = search({**shared, **study}, clock)
        ended = time.process_time()
        manifest, records = read_search(done), read_trials(done)
        first = clock.ends[0] - began
        found: dict[str, Any] = {
            "seed": seed,
            "cpu_seconds_first": round(first),
            "cpu_seconds_trials": round(clock.ends[-1] - began),
            "cpu_seconds_whole": round(ended - began),
            "trials_in_trainings": round((clock.ends[-1] - began) / first, 2),
            "whole_in_trainings": round((ended - began) / first, 2),
            "steps": sum(record.steps for record in records) / records[0].steps,
            "winner": records[manifest.winner or 0].document(),
            "default": records[0].document(),
        }
        print(
            json.dumps({name: value for name, value in found.items() if name not in ("winner", "default")}), flush=True
        )
        default = finetune({**shared, "output_path": str(folder / f"default-{seed}")})
        for name, run in (("default", default), ("winner", done / "best")):
            evaluation = evaluate_model(run, test)
            found[f"test_{name}"] = {
                metric: each["value"] for metric, each in evaluation["predictors"]["tuned"].items()
            }
    return found


def main() -> None:
    """Measure each seed, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=Path("build/search-benchmark"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/search.json"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    results = [measure(options.folder, seed, options.trials) for seed in options.seeds]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
