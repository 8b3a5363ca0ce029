"""What auto-opt tries, and which of it it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from graft.config import ExportSettings
from graft.errors import GateError
from graft.evaluation.compare import Evaluation
from graft.export.adapter_placement import quickest
from graft.export.onnx.export_builder import Variant


@dataclass(frozen=True)
class Candidate:
    """One way that was built: its size, its speed, and what the gate said (None where it was skipped)."""

    variant: Variant
    folder: Path
    size_mb: float
    speed: dict[str, float]
    parity: dict[str, Any] | None
    evaluation: Evaluation | None = field(default=None, repr=False)

    @property
    def passed(self) -> bool:
        return self.parity is None or bool(self.parity["passed"])


def variants(
    settings: ExportSettings, has_rows: bool, here: bool, each: Sequence[str], trained: bool = False
) -> Iterator[tuple[str, Variant]]:
    """What to try, smallest first, each in every way."""
    for variant in _precisions(settings, has_rows, here, trained and each[0] != "merge"):
        for way in each:
            yield way, replace(variant, way=way)


def _precisions(settings: ExportSettings, has_rows: bool, here: bool, trained: bool) -> Iterator[Variant]:
    precision = settings.precision
    fine = "gptq" if has_rows else "k_quant"
    if precision == "int4" and trained and settings.rounding == "auto":
        yield Variant("int4", "trained")
        if here:
            yield Variant("int4", "trained", apart=True)
    elif precision in {"int4", "auto"}:
        rounding = fine if settings.rounding == "auto" else settings.rounding
        yield Variant("int4", rounding)
        if here and (settings.rounding == "auto" or precision == "auto"):
            yield Variant("int4", rounding, head=8)
    if precision in {"int8", "auto"}:
        yield Variant("int8")
    if precision in {"fp32", "auto"}:
        yield Variant("fp32")
    if precision == "fp16":
        yield Variant("fp16")


def choose(tried: Sequence[Candidate], settings: ExportSettings) -> Candidate:
    """The smallest that passes the gate and the bounds, with its adapter the quicker way; where none does, the one that
    lost least.

    Raises:
        GateError: when what passes the gate is too large or too slow.
    """
    fits = [
        one
        for one in tried
        if (settings.max_size is None or one.size_mb <= settings.max_size)
        and one.speed.get("tokens_per_second", 0.0) >= (settings.min_tokens_per_second or 0.0)
    ]
    if not fits:
        sizes = ", ".join(
            f"{t.variant.label}: {t.size_mb} MB, {t.speed.get('tokens_per_second')} tokens/s" for t in tried
        )
        raise GateError(
            f"nothing that was tried is small and quick enough ({sizes})", remedy="--max_size, --min_tokens_per_second"
        )
    passing = [one for one in fits if one.passed]
    if passing:
        smallest = min(passing, key=lambda one: one.size_mb)
        same = [one for one in passing if same_weights(one.variant, smallest.variant)]
        return quickest(same, smallest)
    return min(fits, key=lambda one: one.parity["drop"] if one.parity else 0.0)


def same_weights(one: Variant, other: Variant) -> bool:
    """The same weights, whatever the way of the adapter."""
    return replace(one, way="") == replace(other, way="")
