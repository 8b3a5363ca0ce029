"""What a precision means: how the folder is built, how its weights are rounded, and where its adapter goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graft.data.tokenize import Encoded
from graft.export.onnx.adapter_files import Switchable, adapter_path, write_adapter
from graft.export.onnx.builder import build
from graft.export.onnx.slots import add_adapter, add_slots, slot_options
from graft.export.onnx.write_blocks import requantise
from graft.export.quantize.calibrate import rounded, within_budget
from graft.export.quantize.gptq import Blocks

Progress = Callable[[str, int, int], None]
CALIBRATION_ROWS = 256
CALIBRATION_TOKENS = 16384


@dataclass(frozen=True)
class Recipe:
    """``rounding`` is for int4: ``rtn`` and ``k_quant`` are the builder's, ``range`` and ``gptq`` ours, ``trained``
    the weights a qlora run was trained on.

    ``head``: bits of the last layer, which small models share with their embeddings; ``apart``: it shares nothing, and
    the embeddings stay in float32. ``way``: the adapter is folded in (``merge``), stands ``beside`` the weights in the
    graph, or is an input (``switch``).
    """

    precision: str
    rounding: str = "rtn"
    head: int = 4
    way: str = "merge"
    apart: bool = False

    @property
    def label(self) -> str:
        words = [self.precision]
        if self.precision == "int4":
            words = [f"int4 {'as trained' if self.rounding == 'trained' else self.rounding}"]
            words += [f"head in int{self.head}"] if self.head != self.bits else []
            words += ["embeddings in float32"] if self.apart else []
        words += [] if self.way == "merge" else [f"adapter {'switchable' if self.way == 'switch' else self.way}"]
        return ", ".join(words)

    @property
    def bits(self) -> int:
        return 4 if self.precision == "int4" else 8

    @property
    def options(self) -> dict[str, str]:
        """For the builder."""
        if self.precision != "int4":
            return {}
        if self.rounding in {"rtn", "trained"}:  # to nearest, symmetric: graft.models.int4 does the same
            options = {}
        elif self.rounding == "k_quant":
            options = {"algo_config": "k_quant"}
        else:  # the graph alone: with zero points, whose values are written afterwards
            options = {"algo_config": "rtn", "is_symmetric": "false"}
        if self.apart:
            options["shared_embeddings"] = "false"
        return options | ({"matmul_mixed_precision": "last_matmul:int8"} if self.head == 8 else {})


@dataclass
class Stock:
    """What a way is made from: ``folder`` for the builder, and ``model``, whose weights are the folder's, for rounding;
    an adapter that stays apart is active in the model and not in the folder."""

    folder: Path
    model: Any = None
    adapter: Switchable | None = None


class Kitchen:
    """Builds recipes from a stock for each way; what several of them need is made once. ``rows`` are those to round
    for, by the adapter in the stock's model that reads them ("": the one there is, or none)."""

    def __init__(
        self,
        stocks: Callable[[str], Stock],
        builder: str,
        rows: Mapping[str, Sequence[Encoded]],
        progress: Progress | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.stocks, self.builder, self.progress = stocks, builder, progress
        self.rows = {
            name: within_budget(some[: CALIBRATION_ROWS // len(rows)], CALIBRATION_TOKENS // len(rows))
            for name, some in rows.items()
        }
        self.options = dict(options or {})
        self._made: dict[Recipe, dict[str, Blocks]] = {}

    def make(self, recipe: Recipe, output: Path) -> None:
        """``recipe`` as a folder in ``output``."""
        stock = self.stocks(recipe.way)
        options = {**self.options, **recipe.options}
        if stock.adapter is not None:
            options |= slot_options(list(stock.adapter.matrices))
        build(stock.folder, output, recipe.precision, self.builder, options)
        if recipe.precision == "int4" and recipe.rounding in {"range", "gptq"}:
            requantise(output, self._rounded(stock, recipe))
        if stock.adapter is not None and recipe.way == "beside":
            add_adapter(output, stock.adapter.matrices)
        elif stock.adapter is not None:
            add_slots(output, list(stock.adapter.matrices))
            write_adapter(stock.adapter, adapter_path(output, stock.adapter.name))

    def _rounded(self, stock: Stock, recipe: Recipe) -> dict[str, Blocks]:
        key = replace(recipe, apart=False)
        if key not in self._made:
            rows = self.rows if recipe.rounding == "gptq" else {}
            self._made[key] = rounded(stock.model, rows, recipe.head, self.progress)
        return self._made[key]
