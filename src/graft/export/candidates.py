"""The variants that an export builds and measures, and the choice among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from graft.config import OnnxGenaiConfig
from graft.errors import GateError
from graft.evaluation.compare import Evaluation
from graft.export.adapter_placement import fastest
from graft.export.onnx.export_builder import MERGED, Variant


@dataclass(frozen=True)
class Candidate:
    """A variant that was built and measured.

    Attributes:
        variant: What it is.
        folder: Where it is.
        size_mb: The size of its weights, in millions of bytes.
        speed: What ``worker_process.Served.speed`` measured; empty if it cannot run on this machine.
        parity: The parity document; None if it was not compared.
        evaluation: Its evaluation next to the PyTorch models.
    """

    variant: Variant
    folder: Path
    size_mb: float
    speed: dict[str, float]
    parity: dict[str, Any] | None
    evaluation: Evaluation | None = field(default=None, repr=False)

    @property
    def passed(self) -> bool:
        """Whether it passes the quality gate; a candidate that was not compared does."""
        return self.parity is None or bool(self.parity["passed"])

    @property
    def tokens_per_second(self) -> float | None:
        """Generated tokens per second; None if it cannot run on this machine."""
        return self.speed.get("tokens_per_second")

    def as_entry(self) -> dict[str, Any]:
        """A line of the manifest's ``candidates``."""
        variant, parity = self.variant, self.parity
        return {
            "label": variant.label,
            "precision": variant.precision,
            "rounding": variant.rounding if variant.precision == "int4" else None,
            "head_bits": variant.head_bits if variant.precision == "int4" else None,
            "placement": variant.placement,
            "untied": variant.untied,
            "size_mb": self.size_mb,
            **self.speed,
            "metric": parity["metric"] if parity else None,
            "value": parity["bundle"]["value"] if parity else None,
            "pytorch": parity["pytorch"]["value"] if parity else None,
            "passed": self.passed,
        }


@dataclass(frozen=True)
class Search:
    """What decides which variants to build.

    Attributes:
        precision: The value of ``--precision``.
        rounding: The value of ``--rounding``.
        has_rows: Whether there are rows to calibrate on.
        runs_here: Whether bundles can run on this machine, and so be measured.
        placements: The adapter placements to build, the default first.
        trained: Whether the adapter was trained over the int4 weights that ship.
    """

    precision: str
    rounding: str
    has_rows: bool
    runs_here: bool
    placements: Sequence[str]
    trained: bool

    def variants(self) -> Iterator[Variant]:
        """The variants to build, the smallest first, each in every placement."""
        for variant in self._weights():
            for placement in self.placements:
                yield replace(variant, placement=placement)

    def _weights(self) -> Iterator[Variant]:
        if self.precision == "int4" and self._as_trained:
            yield Variant("int4", "trained")
            if self.runs_here:
                yield Variant("int4", "trained", untied=True)
        elif self.precision in {"int4", "auto"}:
            yield from self._int4()
        if self.precision in {"int8", "auto"}:
            yield Variant("int8")
        if self.precision in {"float32", "auto"}:
            yield Variant("float32")
        if self.precision == "float16":
            yield Variant("float16")

    @property
    def _as_trained(self) -> bool:
        return self.trained and self.placements[0] != MERGED and self.rounding == "auto"

    def _int4(self) -> Iterator[Variant]:
        best = "gptq" if self.has_rows else "k_quant"
        rounding = best if self.rounding == "auto" else self.rounding
        yield Variant("int4", rounding)
        if self.runs_here and (self.rounding == "auto" or self.precision == "auto"):
            yield Variant("int4", rounding, head_bits=8)


def choose(candidates: Sequence[Candidate], config: OnnxGenaiConfig) -> Candidate:
    """The smallest candidate that passes the gate and the bounds, with its adapter in the fastest placement.

    Where none passes the gate, the one that lost least.

    Raises:
        GateError: If every candidate is too large or too slow.
    """
    slowest = config.min_tokens_per_second or 0.0
    fits = [
        one
        for one in candidates
        if (config.max_size is None or one.size_mb <= config.max_size) and (one.tokens_per_second or 0.0) >= slowest
    ]
    if not fits:
        measured = ", ".join(f"{c.variant.label}: {c.size_mb} MB, {c.tokens_per_second} tokens/s" for c in candidates)
        raise GateError(
            f"no candidate meets the size and speed limits ({measured})",
            remedy="raise --max_size, or lower --min_tokens_per_second",
        )
    passing = [one for one in fits if one.passed]
    if passing:
        smallest = min(passing, key=lambda one: one.size_mb)
        return fastest([one for one in passing if same_weights(one.variant, smallest.variant)], smallest)
    return min(fits, key=lambda one: one.parity["drop"] if one.parity else 0.0)


def same_weights(one: Variant, other: Variant) -> bool:
    """Whether two variants have the same weights, whatever the placement of the adapter."""
    return replace(one, placement="") == replace(other, placement="")
