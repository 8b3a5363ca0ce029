"""Search folders as ``graft search`` leaves them, made by code: the numbers fit together and are always the same."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from graft.documents import dump_yaml
from graft.runs.manifest import SearchManifest, TrialRecord
from graft.runs.record import dump, dump_lines, validate
from report import sample_run

SPACE: dict[str, Any] = {
    "learning_rate": {"type": "float", "low": 1e-6, "high": 1e-3, "log": True},
    "lora_r": {"type": "int", "low": 8, "high": 64},
    "per_device_train_batch_size": {"type": "choice", "values": [8, 16, 32]},
}
DEFAULTS: dict[str, Any] = {"learning_rate": 2e-4, "lora_r": 16, "per_device_train_batch_size": 16}
Draw = Callable[[random.Random], dict[str, Any]]


def draw(numbers: random.Random) -> dict[str, Any]:
    return {
        "learning_rate": math.exp(numbers.uniform(math.log(1e-6), math.log(1e-3))),
        "lora_r": numbers.randint(8, 64),
        "per_device_train_batch_size": numbers.choice([8, 16, 32]),
    }


def loss(settings: Mapping[str, Any], numbers: random.Random) -> float:
    """A valley in the learning rate, a slope in the batch size, some noise."""
    rate = math.log10(settings["learning_rate"]) + 3.15
    batch = settings["per_device_train_batch_size"]
    return 0.31 + 0.12 * rate**2 + 0.02 * math.log2(batch / 8) + numbers.gauss(0, 0.01)


def search(folder: Path) -> Path:
    """Twenty trials, some pruned, two failed, one equal to another, and the run of the winner."""
    numbers = random.Random(9)
    trials = [_trial(number, DEFAULTS if number == 0 else draw(numbers), numbers) for number in range(20)]
    trials[7] = failed(trials[7], "out of memory\nmore")
    trials[13] = failed(trials[13], "the loss is not a number")
    for number in (5, 9, 11, 14, 15, 18):
        trials[number] = pruned(trials[number])
    copied = trials[4].document() | {"number": 12, "status": "duplicate", "same_as": 4, "seconds": 0.0}
    trials[12] = TrialRecord.model_validate(copied)
    return write(folder, trials, best=True)


def one(folder: Path) -> Path:
    """The trial of the defaults alone, of a search that was killed."""
    return write(folder, [_trial(0, DEFAULTS, random.Random(1))], status="running", winner=None)


def none(folder: Path) -> Path:
    """A search that has just begun."""
    return write(folder, [], status="running", winner=None)


def many(folder: Path) -> Path:
    """Two hundred trials of which most were pruned."""
    numbers = random.Random(8)
    trials = [_trial(number, DEFAULTS if number == 0 else draw(numbers), numbers) for number in range(200)]
    trials = [pruned(trial) if trial.number % 3 and trial.number else trial for trial in trials]
    return write(folder, trials, best=True)


def all_failed(folder: Path) -> Path:
    """Only trials that failed."""
    numbers = random.Random(2)
    trials = [TrialRecord(number=n, settings=draw(numbers), status="failed", error="out of memory") for n in range(6)]
    return write(folder, trials, status="failed", winner=None, error="all trials failed\n    try a smaller batch")


def odd(folder: Path) -> Path:
    """Long names, choices of long texts, huge and tiny numbers, markup, a metric of which more is better."""
    names = ["a_setting_with_a_very_long_name_that_goes_on_and_on_and_on", "model_name_or_path", "weight", "use_rslora"]
    names += ["text_template", "steps_of_many", "lora_target_modules", "tiny"]
    models = [f"organization-{n}/some-model-with-a-rather-long-name-{n}b-instruct" for n in range(14)]
    texts = [sample_run.HOSTILE, "{text}\n\nAnswer: {label}", "=cmd|' /C calc'!A0"]
    modules: list[Any] = ["all-linear", ["q_proj", "v_proj"]]
    space: dict[str, Any] = {
        names[0]: {"type": "float", "low": -5.0, "high": 5.0},
        names[1]: {"type": "choice", "values": models},
        names[2]: {"type": "float", "low": 1e-30, "high": 1e12, "log": True},
        names[3]: {"type": "choice", "values": [True, False]},
        names[4]: {"type": "choice", "values": texts},
        names[5]: {"type": "int", "low": 1, "high": 123456789, "log": True},
        names[6]: {"type": "choice", "values": modules},
        names[7]: {"type": "float", "low": 1e-9, "high": 2e-9},
    }
    numbers, trials = random.Random(3), []
    for number in range(16):
        values = [numbers.uniform(-5, 5), numbers.choice(models), 10 ** numbers.uniform(-30, 12), number % 2 == 0]
        values += [texts[number % 3], int(10 ** numbers.uniform(0, 8)), modules[number % 2]]
        values += [numbers.uniform(1, 2) * 1e-9]
        value = 0.5 + values[0] / 50 + numbers.gauss(0, 0.02)
        settings = dict(zip(names, values, strict=True)) if number else {names[1]: models[0], names[3]: None}
        trials.append(_record(number, settings, value, 3700.0 * (number + 1)))
    return write(folder, trials, space=space, metric="accuracy", greater_is_better=True)


def outliers(folder: Path) -> Path:
    """Scores below zero, one far away from the others."""
    numbers, trials = random.Random(4), []
    for number in range(14):
        value = 1e9 if number == 6 else numbers.gauss(-2.0, 0.3)
        trials.append(_record(number, DEFAULTS if number == 0 else draw(numbers), value, 9.0))
    return write(folder, trials)


def failed(trial: TrialRecord, error: str) -> TrialRecord:
    return TrialRecord(number=trial.number, settings=trial.settings, status="failed", seconds=4.0, error=error)


def pruned(trial: TrialRecord) -> TrialRecord:
    history = trial.history[:3]
    step, value = min(history, key=lambda point: point[1])
    kept = {"status": "pruned", "weights": None, "untouched": None, "history": history, "value": value}
    return trial.model_copy(update=kept | {"best_step": step, "steps": history[-1][0], "seconds": trial.seconds / 3})


def _trial(number: int, settings: Mapping[str, Any], numbers: random.Random) -> TrialRecord:
    return _record(number, settings, loss(settings, numbers), 40 + 2 * settings["per_device_train_batch_size"])


def _record(number: int, settings: Mapping[str, Any], value: float, seconds: float) -> TrialRecord:
    history = [(step, value + 2.0 / step) for step in (10, 20, 30, 40)] + [(50, value)]
    return TrialRecord(
        number=number,
        settings=dict(settings),
        value=value,
        best_step=50,
        steps=50,
        history=history,
        seconds=seconds,
        weights=f"{number:02x}" * 32,
    )


def write(
    folder: Path,
    trials: list[TrialRecord],
    space: Mapping[str, Any] = SPACE,
    best: bool = False,
    **manifest: Any,
) -> Path:
    """Write a search folder; the winner is the best trial that was completed, unless ``winner`` is given."""
    folder.mkdir(parents=True, exist_ok=True)
    sign = -1 if manifest.get("greater_is_better") else 1
    completed = [trial for trial in trials if trial.status == "completed" and trial.value is not None]
    winner = min(completed, key=lambda trial: sign * (trial.value or 0.0)).number if completed else None
    winner = manifest.pop("winner", winner)
    document = {
        "kind": "search",
        "schema_version": "1.0",
        "graft": "0.1.0",
        "command": "search",
        "status": "finished",
        "started": "2026-05-04T10:21:07+00:00",
        "settings": {"model_name_or_path": "smollm2-135m-instruct", "data_files": ["tone-train.jsonl"]},
        "space": dict(space),
        "strategy": "random",
        "num_trials": max(len(trials), 1),
        "seed": 42,
        "selection_rows": 150,
        "untouched_rows": 421,
        "base": {"name": "smollm2-135m-instruct"},
        "winner": winner,
        **manifest,
    }
    found = validate(SearchManifest, document, "manifest.json")
    (folder / "manifest.json").write_text(dump(found), encoding="utf-8")
    if best and winner is not None:
        trials = [_judged(trial, trials) if trial.number in (0, winner) else trial for trial in trials]
        sample_run.classification(folder / "best")
        config = {"model_name_or_path": "smollm2-135m-instruct", "data_files": ["tone-train.jsonl"], "seed": 42}
        config |= {**trials[winner].settings, "output_path": "runs/tone-search/best", "overwrite": True}
        (folder / "best" / "config.yaml").write_text(dump_yaml(config), encoding="utf-8")
    (folder / "trials.jsonl").write_text(dump_lines(trials), encoding="utf-8")
    return folder


def _judged(trial: TrialRecord, trials: list[TrialRecord]) -> TrialRecord:
    """The trial with its losses on the untouched rows: a little worse than on those that it was selected by."""
    assert trial.value is not None
    mean, numbers = trial.value + (0.003 if trial.number == 0 else 0.012), random.Random(6)
    rows = [(mean + numbers.gauss(0, 0.2) + 0.01 * (trial.number == 0) * numbers.gauss(0, 1), 1) for _ in range(421)]
    untouched = sum(value for value, _ in rows) / len(rows)
    return trial.model_copy(update={"untouched": untouched, "untouched_rows": rows})


def trials_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "trials.jsonl").read_text(encoding="utf-8").splitlines()]
