"""How fast a run, a model or a bundle answers on this machine, and what it takes to load: ``type: speed``."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from graft.config import Settings, setting
from graft.errors import InputError, Interrupted
from graft.files import write_whole
from graft.hardware.machine import machine
from graft.processes import module_command

FILE = "speed.json"


class SpeedSettings(Settings):
    """Settings of the pass."""

    model_name_or_path: str | None = setting(
        None, "run, model or bundle to measure (default: what the pass before left)"
    )
    adapter: str | None = setting(None, "adapter of a bundle to measure (default: its first)")
    max_new_tokens: int = setting(64, "maximum number of tokens to generate for each prompt", gt=0)
    repeats: int = setting(3, "times that each prompt is answered; the fastest pass over all prompts counts", gt=0)
    trust_remote_code: bool = setting(False, "allow code from the model's repository to run")


def measure_speed(name: str, settings: SpeedSettings, output: Path) -> dict[str, Any]:
    """Measure a model in a process of its own, so that its memory is counted and nothing else.

    Args:
        name: A run, a model or a bundle.
        settings: What to measure.
        output: The folder for speed.json.

    Returns:
        The document of speed.json.

    Raises:
        InputError: If the model does not load or does not answer.
    """
    asked = {"name": name, **settings.model_dump(mode="json", exclude={"model_name_or_path"})}
    done = subprocess.run(
        module_command("graft.commands.speed_process"),
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode in (130, -2):
        raise Interrupted("interrupted")
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = (done.stderr.strip().splitlines() or ["the process gave no reason"])[-1]
        raise InputError(f"the model could not be measured: {said}", where=name)
    document = {**json.loads(lines[-1]), "machine": machine()}
    output.mkdir(parents=True, exist_ok=True)
    write_whole(output / FILE, json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    return document


def in_words(document: dict[str, Any]) -> str:
    """The figures in one line."""
    speed = document["tokens_per_second"]
    answers = f"{speed:,.0f} tokens/s" if speed is not None else f"{document['rows_per_second']:,.1f} rows/s"
    return f"{answers}, loaded in {document['load_seconds']:.1f} s, {document['peak_mb']:,.0f} MB"
