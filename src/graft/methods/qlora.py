"""QLoRA (Dettmers et al. 2023, arXiv:2305.14314): LoRA over a frozen base in 4 bits.

On a CPU the base is in the block format of the deployment (``graft.models.int4``), so that what is trained on is what
ships; with a CUDA GPU it is in NF4.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graft.config import FinetuneSettings
from graft.methods.adapter_folder import save_adapter
from graft.methods.lora import LORA, check_names
from graft.methods.quantized import RECORD, quantise_base


class Qlora:
    name = "qlora"
    writes = "adapter"
    learning_rate = 2e-4
    uses = LORA.uses | {"quantisation"}

    def prepare(self, model: Any, settings: FinetuneSettings) -> Any:
        """A ``PeftModel`` over ``model``, whose linear layers are replaced by quantised ones.

        Raises:
            InputError: as ``Lora.prepare``.
            MissingExtra: when NF4 is asked for, and there is no bitsandbytes.
        """
        check_names(model, settings)
        record = quantise_base(model.requires_grad_(False), settings)
        tuned = LORA.prepare(model, settings)
        tuned.quantisation = record
        return tuned

    def save(self, model: Any, run_folder: Path) -> None:
        record = json.dumps(model.quantisation, indent=2)
        save_adapter(model, run_folder / "adapter", {RECORD: record})


QLORA = Qlora()
