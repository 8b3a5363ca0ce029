"""The number format that a training computes in: given, or measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graft.config import TrainingSettings
from graft.data.inferred import InferredSetting
from graft.errors import InputError
from graft.hardware.benchmark import training_rates

WORTH_IT = 1.25
"""Half the digits are worth it for a tenth more speed, and not for less. A whole step has more besides than the layers
measured: SmolLM2's took 1.29 times as long in float32 as in bfloat16, by turns, where the layers took 1.7 times."""
SWITCHES = {"bf16": "bfloat16", "fp16": "float16"}
"""transformers' own arguments for the same."""


def choose_precision(
    settings: TrainingSettings,
    config: Mapping[str, Any],
    device: str,
    measure: Callable[..., dict[str, float]] = training_rates,
) -> tuple[str, list[InferredSetting]]:
    """``float32``, ``bfloat16`` or ``float16`` for a model with this ``config`` on ``device``, and why.

    Raises:
        InputError: when several are given.
    """
    wanted = _wanted(settings)
    on_cpu = device == "cpu"
    if wanted is None:
        wanted = "float32" if on_cpu else "auto"
    if wanted == "float32":
        return wanted, []
    if wanted == "float16" and on_cpu:
        why = "float16 requires a GPU, and this machine has none; --precision auto measures whether bfloat16 is faster"
        return "float32", [InferredSetting("precision", "float32", why)]
    formats = ("bfloat16",) if on_cpu else ("bfloat16", "float16")
    rates = measure(*_shape(config), device=device, formats=formats)
    if wanted == "auto":
        best = _quickest(rates)
        return best, [InferredSetting("precision", best, f"measured on this machine: {_said(rates)}")]
    if rates.get(wanted, 0.0) < rates["float32"]:
        why = f"as requested, but slower than float32 on this machine: {_said(rates)}"
        return wanted, [InferredSetting("precision", wanted, why)]
    return wanted, []


def _wanted(settings: TrainingSettings) -> str | None:
    given = settings.training_arguments
    named = {name for switch, name in SWITCHES.items() if str(given.get(switch, "")).lower() == "true"}
    if settings.precision is not None:
        named.add(settings.precision)
    if len(named) > 1:
        raise InputError(f"several precisions were given: {', '.join(sorted(named))}", remedy="give one --precision")
    return next(iter(named), None)


def _quickest(rates: Mapping[str, float]) -> str:
    best = max(rates, key=lambda name: rates[name])
    return best if rates[best] >= WORTH_IT * rates["float32"] else "float32"


def _said(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in rates.items())


def _shape(config: Mapping[str, Any]) -> tuple[int, int]:
    hidden = int(config.get("hidden_size") or config.get("n_embd") or 768)
    return hidden, int(config.get("intermediate_size") or config.get("n_inner") or 4 * hidden)
