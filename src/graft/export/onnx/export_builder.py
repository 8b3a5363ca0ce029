"""Building a variant of a model as an ONNX folder: its number format, rounding, and where its adapter goes."""

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
from graft.export.quantize.calibrate import quantize_linears, within_budget
from graft.export.quantize.gptq import QuantizedBlocks
from graft.progress import Reporter

CALIBRATION_ROWS = 256
CALIBRATION_TOKENS = 16384

MERGED, UNMERGED, HOT_SWAPPABLE = "merged", "unmerged", "hot-swappable"
"""Where an adapter goes: into the weights; next to them in the graph; into a file of its own, as a graph input."""


@dataclass(frozen=True)
class Variant:
    """One way to build a model.

    Attributes:
        precision: ``float32``, ``float16``, ``int8`` or ``int4``.
        rounding: For int4: ``rtn`` and ``k_quant`` are the model builder's, ``range`` and ``gptq`` graft's, and
            ``trained`` are the very weights that a qlora run was trained on.
        head_bits: Bits of the last layer, which small models share with their embeddings.
        placement: Where the adapter goes: ``merged``, ``unmerged`` or ``hot-swappable``.
        untied: Whether embeddings that the last layer shares are kept separately, in float32.
    """

    precision: str
    rounding: str = "rtn"
    head_bits: int = 4
    placement: str = MERGED
    untied: bool = False

    @property
    def label(self) -> str:
        """The variant in a few words, for tables."""
        words = [self.precision]
        if self.precision == "int4":
            words = [f"int4 {'as trained' if self.rounding == 'trained' else self.rounding}"]
            words += [f"int{self.head_bits} head"] if self.head_bits != self.bits else []
            words += ["float32 embeddings"] if self.untied else []
        return ", ".join([*words, *([] if self.placement == MERGED else [f"{self.placement} adapter"])])

    @property
    def bits(self) -> int:
        """The bits of int4's weights; of the other precisions 8, which only int8 has."""
        return 4 if self.precision == "int4" else 8

    @property
    def builder_options(self) -> dict[str, str]:
        """The model builder's ``extra_options``."""
        if self.precision != "int4":
            return {}
        if self.rounding in {"rtn", "trained"}:  # round to nearest, symmetric, as in graft.models.int4
            options = {}
        elif self.rounding == "k_quant":
            options = {"algo_config": "k_quant"}
        else:  # only the graph, with zero points; the values are replaced afterwards
            options = {"algo_config": "rtn", "is_symmetric": "false"}
        if self.untied:
            options["shared_embeddings"] = "false"
        return options | ({"matmul_mixed_precision": "last_matmul:int8"} if self.head_bits == 8 else {})


@dataclass
class SourceModel:
    """What variants are built from.

    Attributes:
        folder: A model folder of transformers, for the model builder.
        model: The same weights in PyTorch, for rounding, with an unmerged adapter active; None if nothing is rounded.
        adapter: The adapter that is not in the folder's weights, if any.
    """

    folder: Path
    model: Any = None
    adapter: LoraAdapter | None = None


class ExportBuilder:
    """Builds variants; weights that several of them share are rounded once.

    Args:
        source: Gives the source model of an adapter placement.
        provider: The model builder's name of the execution provider.
        rows: Calibration rows, by the name of the adapter that is active when they are read ("": whichever is).
        reporter: Shows the progress of rounding.
        options: Further ``extra_options`` of the model builder.
    """

    def __init__(
        self,
        source: Callable[[str], SourceModel],
        provider: str,
        rows: Mapping[str, Sequence[TokenizedExample]],
        reporter: Reporter,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.source, self.provider, self.reporter = source, provider, reporter
        self.rows = {
            name: within_budget(some[: CALIBRATION_ROWS // len(rows)], CALIBRATION_TOKENS // len(rows))
            for name, some in rows.items()
        }
        self.options = dict(options or {})
        self._rounded: dict[Variant, dict[str, QuantizedBlocks]] = {}

    def make(self, variant: Variant, output: Path) -> None:
        """Build ``variant`` in the folder ``output``.

        Raises:
            InputError: If the model builder does not know the architecture, or the graph has no place for the adapter.
            GraftError: If the model builder fails.
        """
        source = self.source(variant.placement)
        options = {**self.options, **variant.builder_options}
        if source.adapter is not None:
            options |= slot_options(list(source.adapter.matrices))
        build(source.folder, output, variant.precision, self.provider, options)
        if variant.precision == "int4" and variant.rounding in {"range", "gptq"}:
            replace_weights(output, self._weights(source, variant))
        if source.adapter is not None and variant.placement == UNMERGED:
            add_adapter(output, source.adapter.matrices)
        elif source.adapter is not None:
            add_slots(output, list(source.adapter.matrices))
            write_adapter(source.adapter, adapter_path(output, source.adapter.name))

    def _weights(self, source: SourceModel, variant: Variant) -> dict[str, QuantizedBlocks]:
        key = replace(variant, untied=False)
        if key not in self._rounded:
            rows = self.rows if variant.rounding == "gptq" else {}
            self._rounded[key] = quantize_linears(source.model, rows, variant.head_bits, self.reporter)
        return self._rounded[key]
