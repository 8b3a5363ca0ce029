"""QLoRA (Dettmers et al. 2023, arXiv:2305.14314): LoRA over a frozen base in 4 bits.

On a CPU the base is in the block format of the exported model (``graft.models.int4``), so that what is trained on is
what ships; with a CUDA GPU it is in NF4.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from graft.config import setting
from graft.hardware.heap import release_heap
from graft.methods.adapter_folder import RECORD, save_adapter
from graft.methods.layers import check_names, trained_whole
from graft.methods.lora import LoraConfig, LoraMethod


class QloraConfig(LoraConfig):
    """The options of LoRA, and the format of the base."""

    quantization: Literal["auto", "int4", "nf4"] = setting(
        "auto",
        "frozen base: int4 (the format of the export) or nf4 (bitsandbytes); auto selects nf4 on a CUDA GPU",
        "quantisation",
    )


class Qlora(LoraMethod[QloraConfig]):
    """LoRA over a quantized base."""

    name = "qlora"
    title = "QLoRA"
    help = "LoRA on a frozen 4-bit base"
    Config = QloraConfig
    loads_with: Literal["peft", "transformers", "graft"] = "graft"
    quantizes = True

    def prepare(self, model: Any, config: QloraConfig, seed: int, heads: Sequence[str] = ()) -> Any:
        """A ``PeftModel`` over ``model``, whose linear layers are replaced by quantized ones.

        Raises:
            InputError: as ``LoraMethod.prepare``.
            MissingExtra: when NF4 is asked for, and there is no bitsandbytes.
        """
        from graft.methods.quantized import quantize_base

        check_names(model, config)
        record = quantize_base(model.requires_grad_(False), config.quantization, trained_whole(config, heads) or ())
        tuned = super().prepare(model, config, seed, heads)
        tuned.quantization = record
        release_heap()  # PEFT looks at each layer's weight, which is unpacked for it
        return tuned

    def save(self, model: Any, run_folder: Path) -> None:
        """Write ``adapter/``, a PEFT folder and the record of how its base was quantized."""
        save_adapter(model, run_folder / "adapter", {RECORD: json.dumps(model.quantization, indent=2)})


QLORA = Qlora()
