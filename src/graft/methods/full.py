"""Full fine-tuning: every weight is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.config import FinetuneSettings
from graft.methods.base import write_folder
from graft.models.load import quiet


class Full:
    name = "full"
    writes = "model"
    learning_rate = 2e-5
    uses: frozenset[str] = frozenset()

    def prepare(self, model: Any, settings: FinetuneSettings) -> Any:
        return model.requires_grad_(True)

    def save(self, model: Any, run_folder: Path) -> None:
        """``model/``: configuration and weights; a tokenizer that is there stays."""
        folder = run_folder / "model"

        written: set[str] = set()

        def write(temporary: Path) -> None:
            with quiet():
                model.save_pretrained(temporary)
            written.update(file.name for file in temporary.iterdir())

        write_folder(folder, write)
        for weights in (*folder.glob("*.safetensors*"), *folder.glob("pytorch_model*.bin*")):
            if weights.name not in written:  # the base's, in another number of parts
                weights.unlink()


FULL = Full()
