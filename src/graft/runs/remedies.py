"""What to set otherwise next time, as YAML that lies over a run's own ``config.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PATCHES = {"overfitting": "overfitting.yaml", "divergence": "divergence.yaml"}
"""The file of the run folder in which the remedy for a sign is written."""


def changes(kind: str, settings: Mapping[str, Any], learning_rate: float) -> dict[str, Any]:
    """Settings that differ from a run's ``settings``; ``learning_rate`` is the one it went by."""
    if kind == "divergence":
        return {"learning_rate": _round(learning_rate / 4), "warmup_ratio": max(0.1, _number(settings, "warmup_ratio"))}
    decay = max(0.01, 2 * _number(settings, "weight_decay"))
    dropout = round(min(0.5, max(0.1, _number(settings, "lora_dropout") + 0.05)), 3)
    if settings.get("method") in {"lora", "qlora"}:
        r = max(1, int(settings.get("lora_r") or 16) // 2)
        return {"lora_r": r, "lora_alpha": r, "lora_dropout": dropout, "weight_decay": decay}
    if settings.get("method") == "adapters" and settings.get("reduction_factor"):
        factor = 2 * _number(settings, "reduction_factor")
        return {"reduction_factor": factor, "lora_dropout": dropout, "weight_decay": decay}
    return {"learning_rate": _round(learning_rate / 2), "weight_decay": decay}


def patch(kind: str, settings: Mapping[str, Any], learning_rate: float, run: str, what: str) -> str:
    """The YAML file, each line with what was there before, and the command that uses it."""
    new = f"{run.rstrip('/')}-again"
    lines = [
        f"# {what}",
        f"# graft finetune --config {run}/config.yaml {run}/{PATCHES[kind]} --output_path {new}",
    ]
    for name, value in changes(kind, settings, learning_rate).items():
        was = learning_rate if name == "learning_rate" else settings.get(name)
        was = 2 * int(settings.get("lora_r") or 16) if name == "lora_alpha" and was is None else was
        lines.append(f"{name}: {value}  # was {was:g}" if isinstance(was, (int, float)) else f"{name}: {value}")
    return "\n".join(lines) + "\n"


def _number(settings: Mapping[str, Any], name: str) -> float:
    return float(settings.get(name) or 0.0)


def _round(value: float) -> float:
    return float(f"{value:.2g}")
