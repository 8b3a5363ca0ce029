"""The process of ``measure_speed``: loads a model, answers, and prints the figures as JSON."""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from graft.commands.speed import SpeedSettings
from graft.data.example import AnswerExample, ClassExample, Example, Origin
from graft.errors import GraftError, InputError
from graft.hardware.machine import peak_memory_mb
from graft.inference.predictor import Predictor
from graft.processes import without_telemetry
from graft.progress import Silent

PROMPTS = (
    "Write one sentence about the sea.",
    "List three things that a small model can do well, and say why it can do them.",
    "The meeting was moved from Monday to Thursday because the room was taken. When is the meeting?",
    "Answer as a friendly helper: my parcel has not arrived, and I have waited for two weeks. What should I do?",
)

WRITING = (None, "text-generation", "summarization")
"""Tasks whose models write text; a bundle of such a model records none."""


def main() -> int:
    """Measure what stdin asks for."""
    given = json.load(sys.stdin)
    without_telemetry()
    import_module("graft.commands.open_predictors")  # before the clock starts: libraries are loaded once for any model
    try:
        print(json.dumps(_measured(given.pop("name"), SpeedSettings(**given))))
    except GraftError as error:
        print(error.problems[0].what, file=sys.stderr)
        return 1
    return 0


def _measured(name: str, settings: SpeedSettings) -> dict[str, Any]:
    began = time.perf_counter()
    predictor, writes = _loaded(name, settings)
    loaded = time.perf_counter() - began
    rows = [_row(text, number, writes) for number, text in enumerate(PROMPTS, 1)]
    predictor.generate(rows[:1], min(settings.max_new_tokens, 8))  # the first answer is slower
    seconds: list[float] = []
    answers: list[str] = []
    for _ in range(settings.repeats):
        began = time.perf_counter()
        answers = predictor.generate(rows, settings.max_new_tokens)
        seconds.append(time.perf_counter() - began)
    tokens = _tokens(predictor, answers) if writes else None
    return {
        "model": Path(name).name,
        "prompts": len(rows),
        "tokens": tokens,
        "tokens_per_second": round(tokens / min(seconds), 2) if tokens is not None else None,
        "rows_per_second": round(len(rows) / min(seconds), 3),
        "load_seconds": round(loaded, 3),
        "peak_mb": round(peak_memory_mb() + _children_mb(), 1),
    }


def _row(text: str, number: int, writes: bool) -> Example:
    origin = Origin("speed", number)
    return AnswerExample(({"role": "user", "content": text},), "", origin) if writes else ClassExample(text, "", origin)


def _loaded(name: str, settings: SpeedSettings) -> tuple[Predictor, bool]:
    """The tuned model of a run, the model, or the bundle with an adapter; and whether it writes text.

    Raises:
        InputError: If it answers neither with text nor with a class.
    """
    from graft.commands.open_predictors import BASE, adapters_of, open_bundle, open_model_by_name
    from graft.config import ModelSettings
    from graft.runs.kind import is_bundle
    from graft.runs.manifest import read_bundle

    trusted = settings.trust_remote_code
    if is_bundle(Path(name)):
        wanted = settings.adapter or adapters_of(Path(name))[0]
        task = read_bundle(Path(name)).task
        _check(task, name)
        return next(iter(open_bundle(Path(name), [wanted], trusted).values())), task in WRITING
    model = open_model_by_name(name, ModelSettings(trust_remote_code=trusted), Silent())
    _check(model.task.name, name)
    found = model.predictors(Silent(), with_base=False, name="model")
    return next(predictor for key, predictor in found.items() if key != BASE), model.task.name in WRITING


def _check(task: str | None, name: str) -> None:
    if task not in (*WRITING, "text-classification"):
        raise InputError(f"the speed of a {task} model cannot be measured", where=name)


def _tokens(predictor: Predictor, answers: list[str]) -> int | None:
    """The number of tokens in the answers, an end token each; None where the tokenizer is not known."""
    tokenizer = predictor.tokenizer
    if tokenizer is None:
        return None
    return sum(len(ids) + 1 for ids in tokenizer(list(answers), add_special_tokens=False).input_ids)


def _children_mb() -> float:
    """The memory of processes that run a bundle for this one."""
    import psutil

    total = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            total += child.memory_info().rss / 2**20
        except psutil.Error:
            continue
    return total


if __name__ == "__main__":
    sys.exit(main())
