"""Full fine-tuning: every weight is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from graft.config import Settings
from graft.methods.base import Method, write_folder
from graft.models.load import quiet


class Full(Method[Settings]):
    """Every weight of the model."""

    name = "full"
    title = "full fine-tuning"
    help = "every weight of the model"
    learning_rate = 2e-5
    writes: Literal["adapter", "model"] = "model"
    loads_with: Literal["peft", "transformers", "graft"] = "transformers"
    trains_base = True
    trains_new_tokens = True
    mergeable = True

    def prepare(self, model: Any, config: Settings, seed: int, heads: Sequence[str] = ()) -> Any:
        """``model`` itself, all of it requiring gradients."""
        return model.requires_grad_(True)

    def save(self, model: Any, run_folder: Path) -> None:
        """Write ``model/``: configuration and weights; a tokenizer that is there stays."""
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

    def load(self, model: Any, folder: Path, trainable: bool = False) -> Any:
        """``model`` itself, which is the tuned one."""
        return model.requires_grad_(trainable)

    def merge(self, model: Any) -> Any:
        """``model`` itself: there is nothing to merge."""
        return model


FULL = Full()
