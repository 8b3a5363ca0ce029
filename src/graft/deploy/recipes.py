"""What a precision means: how the folder is built, and how its weights are rounded."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from graft.deploy.build import build
from graft.deploy.gptq import Floats
from graft.deploy.requantise import input_hessians, requantise

Progress = Callable[[str, int, int], None]
CALIBRATION_ROWS = 128


@dataclass(frozen=True)
class Recipe:
    """``rounding`` is for int4: ``rtn`` and ``k_quant`` are the builder's, ``range`` and ``gptq`` ours.

    ``head``: bits of the last layer, which small models share with their embeddings.
    """

    precision: str
    rounding: str = "rtn"
    head: int = 4

    @property
    def label(self) -> str:
        if self.precision != "int4":
            return self.precision
        return f"int4 {self.rounding}" + (f", head in int{self.head}" if self.head != self.bits else "")

    @property
    def bits(self) -> int:
        return 4 if self.precision == "int4" else 8

    @property
    def options(self) -> dict[str, str]:
        """For the builder."""
        if self.precision != "int4":
            return {}
        if self.rounding == "rtn":
            options = {}
        elif self.rounding == "k_quant":
            options = {"algo_config": "k_quant"}
        else:  # the graph alone: with zero points, whose values are written afterwards
            options = {"algo_config": "rtn", "is_symmetric": "false"}
        return options | ({"matmul_mixed_precision": "last_matmul:int8"} if self.head == 8 else {})


class Kitchen:
    """Builds recipes from one model folder; what several of them need is made once."""

    def __init__(
        self,
        model: Path,
        builder: str,
        rows: Sequence[Sequence[int]] = (),
        progress: Progress | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.model, self.builder, self.rows, self.progress = model, builder, rows[:CALIBRATION_ROWS], progress
        self.options = dict(options or {})
        self._floats = model.with_name(f"floats-{uuid.uuid4().hex[:8]}")
        self._hessians: dict[str, Floats] | None = None

    def make(self, recipe: Recipe, output: Path) -> None:
        """``recipe`` as a folder in ``output``."""
        build(self.model, output, recipe.precision, self.builder, {**self.options, **recipe.options})
        if recipe.precision == "int4" and recipe.rounding in {"range", "gptq"}:
            floats = self._float_graph()
            hessians = self._watched(floats) if recipe.rounding == "gptq" else {}
            requantise(output, floats, hessians, self._watch("rounding"))

    def close(self) -> None:
        shutil.rmtree(self._floats, ignore_errors=True)

    def _float_graph(self) -> Path:
        if not self._floats.exists():
            build(self.model, self._floats, "fp32", options=self.options)
        return self._floats

    def _watched(self, floats: Path) -> dict[str, Floats]:
        if self._hessians is None:
            self._hessians = dict(input_hessians(floats, self.rows, self._watch("calibrating")))
        return self._hessians

    def _watch(self, what: str) -> Callable[[int, int], None] | None:
        progress = self.progress
        return None if progress is None else lambda done, total: progress(what, done, total)
