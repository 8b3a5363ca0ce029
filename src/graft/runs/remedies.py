"""Settings to change after a run, as a YAML file that overrides its ``config.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.runs.trust import consent_words
from graft.shell import command

PATCHES = {"overfitting": "overfitting.yaml", "divergence": "divergence.yaml"}
"""The file of the run folder that holds the remedy for a warning."""


def changes(
    kind: str, settings: Mapping[str, Any], learning_rate: float, less_capacity: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """The settings to change after a run.

    Args:
        kind: what went wrong, one of ``PATCHES``.
        settings: the run's settings.
        learning_rate: the peak learning rate it used.
        less_capacity: what its method says against overfitting (``Method.less_capacity``).

    Returns:
        Each setting's name with its value in the run and the value to use next.
    """
    if kind == "divergence":
        warmup = _number(settings, "warmup_ratio")
        return {
            "learning_rate": (learning_rate, _round(learning_rate / 4)),
            "warmup_ratio": (warmup, max(0.1, warmup)),
        }
    decay = _number(settings, "weight_decay")
    less = less_capacity or {"learning_rate": (learning_rate, _round(learning_rate / 2))}
    return {**less, "weight_decay": (decay, max(0.01, 2 * decay))}


def patch(changed: Mapping[str, tuple[float, float]], again: str, message: str) -> str:
    """The YAML file for ``changes``, each line with the value in the run, and the command that uses it.

    Args:
        changed: what ``changes`` returned.
        again: what ``repeat_command`` returned.
        message: the warning.
    """
    lines = [f"# {message}", f"# {again}"]
    lines += [f"{name}: {after}  # was {before:g}" for name, (before, after) in changed.items()]
    return "\n".join(lines) + "\n"


def repeat_command(run: str, kind: str, settings: Mapping[str, Any]) -> str:
    """The command that repeats a run with the remedy of a warning.

    Args:
        run: the run folder, as a user writes it.
        kind: what went wrong, one of ``PATCHES``.
        settings: the run's settings: where they name code, the command has the user's consent.
    """
    folder = Path(run)
    files = folder / "config.yaml", folder / PATCHES[kind]
    again = Path(f"{folder}-again")
    return command("graft", "finetune", "--config", *files, "--output_path", again, *consent_words(settings))


def _number(settings: Mapping[str, Any], name: str) -> float:
    return float(settings.get(name) or 0.0)


def _round(value: float) -> float:
    return float(f"{value:.2g}")
