"""Adapters as PEFT keeps them: ``adapter_config.json`` and ``adapter_model.safetensors``."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from graft.errors import InputError
from graft.methods.base import write_folder


def save_adapter(model: Any, folder: Path) -> None:
    """The tuned part of a ``PeftModel`` as a PEFT folder, the same bytes for the same weights."""

    def write(temporary: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save_pretrained(temporary, save_embedding_layers=False)
        (temporary / "README.md").unlink(missing_ok=True)  # a form to fill in; the run's own card says it
        file = temporary / "adapter_config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        for name in ("target_modules", "modules_to_save"):  # sets, whose order changes from process to process
            if isinstance(config.get(name), list):
                config[name] = sorted(config[name])
        file.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False), encoding="utf-8")

    write_folder(folder, write)


def load_adapter(model: Any, path: Path, trainable: bool = False) -> Any:
    """A ``PeftModel``: ``model`` with the adapter in ``path`` over it.

    Raises:
        InputError: when the adapter doesn't fit the model.
    """
    from peft import PeftModel

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tensors that don't fit, which _refuse_leftovers says better
            tuned = PeftModel.from_pretrained(model, str(path), is_trainable=trainable)
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        raise _misfit(path, model, " ".join(str(error).split())[:300]) from error
    _refuse_leftovers(tuned, path)
    return tuned.train(trainable)


def _refuse_leftovers(tuned: Any, path: Path) -> None:
    """PEFT passes over tensors of the file that the model has no place for, and places the file has no tensor for."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    file = path / "adapter_model.safetensors"
    if not file.is_file():
        return
    with safe_open(file, framework="pt") as stream:
        saved = set(stream.keys())
    placed = set(get_peft_model_state_dict(tuned, save_embedding_layers=False))
    for names, what in ((saved - placed - set(tuned.state_dict()), "no place"), (placed - saved, "no tensor")):
        if names:
            raise _misfit(path, tuned.get_base_model(), f"{what} for {len(names)} of {len(saved)}, as {min(names)}")


def _misfit(path: Path, model: Any, reason: str) -> InputError:
    return InputError(
        f"the adapter does not fit the model {model.name_or_path or type(model).__name__}: {reason}",
        where=str(path),
        remedy="use the model the adapter was trained on; adapter_config.json names it",
    )
