"""What a precision means: how the folder is built, how its weights are rounded, and where its adapter goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graft.data.tokenize import TokenizedExample
from graft.export.onnx.lora_adapter import LoraAdapter, adapter_path, write_adapter
from graft.export.onnx.lora_slots import add_adapter, add_slots, slot_options
from graft.export.onnx.model_builder import build
from graft.export.onnx.quantized_weights import replace_weights
from graft.export.quantize.calibrate import rounded, within_budget
from graft.export.quantize.gptq import QuantizedBlocks

Progress = Callable[[str, int, int], None]
CALIBRATION_ROWS = 256
CALIBRATION_TOKENS = 16384


@dataclass(frozen=True)
class Variant:
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
class SourceModel:
    """What a way is made from: ``folder`` for the builder, and ``model``, whose weights are the folder's, for rounding;
    an adapter that stays apart is active in the model and not in the folder."""

    folder: Path
    model: Any = None
    adapter: LoraAdapter | None = None


class ExportBuilder:
    """Builds variants, each from the source model of its adapter placement; what several need is made once.

    ``rows`` are the calibration rows, by the adapter that is active when they are read ("": whichever is).
    """

    def __init__(
        self,
        source_models: Callable[[str], SourceModel],
        builder: str,
        rows: Mapping[str, Sequence[TokenizedExample]],
        progress: Progress | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.source_models, self.builder, self.progress = source_models, builder, progress
        self.rows = {
            name: within_budget(some[: CALIBRATION_ROWS // len(rows)], CALIBRATION_TOKENS // len(rows))
            for name, some in rows.items()
        }
        self.options = dict(options or {})
        self._made: dict[Variant, dict[str, QuantizedBlocks]] = {}

    def make(self, variant: Variant, output: Path) -> None:
        """``variant`` as a folder in ``output``."""
        source_model = self.source_models(variant.way)
        options = {**self.options, **variant.options}
        if source_model.adapter is not None:
            options |= slot_options(list(source_model.adapter.matrices))
        build(source_model.folder, output, variant.precision, self.builder, options)
        if variant.precision == "int4" and variant.rounding in {"range", "gptq"}:
            replace_weights(output, self._rounded(source_model, variant))
        if source_model.adapter is not None and variant.way == "beside":
            add_adapter(output, source_model.adapter.matrices)
        elif source_model.adapter is not None:
            add_slots(output, list(source_model.adapter.matrices))
            write_adapter(source_model.adapter, adapter_path(output, source_model.adapter.name))

    def _rounded(self, source_model: SourceModel, variant: Variant) -> dict[str, QuantizedBlocks]:
        key = replace(variant, apart=False)
        if key not in self._made:
            rows = self.rows if variant.rounding == "gptq" else {}
            self._made[key] = rounded(source_model.model, rows, variant.head, self.progress)
        return self._made[key]
