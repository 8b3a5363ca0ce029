"""Adapter folders: ``adapter_config.json`` and ``adapter_model.safetensors``, PEFT's or bottleneck networks."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from graft.documents import read_object
from graft.errors import GraftError, InputError, reason_of
from graft.hardware.heap import release_heap
from graft.methods.base import C, Method, write_folder
from graft.methods.merge import mergeable
from graft.models.adapter_config import CONFIG, WEIGHTS, check_patterns, read_adapter_config
from graft.runs.record import Record, validate

RECORD = "quantization.json"
"""Beside the adapter: how its base was quantized when the adapter was trained."""
_RECORD_BEFORE = "quantisation.json"
BOTTLENECK = "BOTTLENECK"
"""The ``peft_type`` of bottleneck networks, which PEFT itself does not know."""


class PeftFolder(Method[C]):
    """What methods have in common that leave a PEFT folder: loading, the base's answers, and merging."""

    mergeable = True

    def load(self, model: Any, folder: Path, trainable: bool = False) -> Any:
        """A ``PeftModel`` over ``model``."""
        return load_adapter(model, folder, trainable)

    def disabled(self, model: Any) -> AbstractContextManager[None]:
        """A context in which PEFT leaves the adapter out."""
        context: AbstractContextManager[None] = model.disable_adapter()
        return context

    def merge(self, model: Any) -> Any:
        """The plain model with the adapter in its weights."""
        return model.merge_and_unload()


def save_adapter(model: Any, folder: Path, beside: Mapping[str, str] | None = None) -> None:
    """Write the tuned part of a ``PeftModel`` as a PEFT folder, the same bytes for the same weights.

    Args:
        model: the ``PeftModel``.
        folder: the folder to fill.
        beside: further files, name to text.
    """

    def write(temporary: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save_pretrained(temporary, save_embedding_layers=False)
        (temporary / "README.md").unlink(missing_ok=True)  # a form to fill in; the run's own card says it
        file = temporary / CONFIG
        config = json.loads(file.read_text(encoding="utf-8"))
        for name in ("target_modules", "modules_to_save"):  # sets, whose order changes from process to process
            if isinstance(config.get(name), list):
                config[name] = sorted(config[name])
        # Plain ASCII: PEFT opens the file in the encoding of the system.
        file.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
        for name, text in (beside or {}).items():
            (temporary / name).write_text(text, encoding="utf-8")

    write_folder(folder, write)


def read_config(folder: Path) -> dict[str, Any]:
    """The content of an adapter folder's ``adapter_config.json``; empty if there is none.

    Raises:
        InputError: If it is damaged.
    """
    return read_adapter_config(folder).document()


def is_bottleneck(folder: Path) -> bool:
    """Whether an adapter folder holds bottleneck networks, which cannot be merged."""
    return bool(read_config(folder).get("peft_type") == BOTTLENECK)


class _QuantizationRecord(Record):
    """``quantization.json``: the number format, the layers, and the SHA-256 of the int4 weights."""

    format: str
    layers: list[str]
    sha256: str | None = None


def read_record(adapter: Path) -> dict[str, Any] | None:
    """How the base of an adapter folder was quantized; None when it was not.

    Raises:
        InputError: If the record is damaged.
    """
    file = next((adapter / name for name in (RECORD, _RECORD_BEFORE) if (adapter / name).is_file()), None)
    if file is None:
        return None
    record = validate(_QuantizationRecord, read_object(file), str(file))
    return {**record.document(), "layers": list(dict.fromkeys(record.layers))}


def base_format(adapter: Path) -> str | None:
    """The number format that the base of an adapter folder was quantized to: ``int4``, ``nf4``; None if it was not."""
    record = read_record(adapter)
    if record is None:
        return None
    return "int4" if record.get("format") == "MatMulNBits" else str(record.get("format")).lower()


def is_quantized(adapter: Path | None) -> bool:
    """Whether there is an adapter folder, and the base is quantized before the adapter is put over it."""
    return adapter is not None and not is_bottleneck(adapter) and read_record(adapter) is not None


def load_adapter(model: Any, path: Path, trainable: bool = False, as_float: bool = False) -> Any:
    """Put the adapter in ``path`` over ``model``, which is quantized first if the adapter was trained so.

    Args:
        model: The base.
        path: The adapter folder.
        trainable: Whether the adapter is to be trained on.
        as_float: Whether a base in NF4 is to be in floating point with the same values.

    Returns:
        A ``PeftModel``, or for bottleneck networks a ``BottleneckModel``; both have ``disable_adapter()`` and
        ``merge_and_unload()``, which bottleneck networks refuse.

    Raises:
        InputError: when the adapter does not fit the model.
        MissingExtra: when its base is in NF4, and there is no bitsandbytes.
    """
    if is_bottleneck(path):
        from graft.methods.bottleneck_layers import load_bottlenecks

        return load_bottlenecks(model, path, trainable)
    record = read_record(path)
    if record is not None:
        from graft.methods.quantized import quantize_as_recorded

        quantize_as_recorded(model.requires_grad_(False), record, str(path / RECORD), as_float)
    tuned = mergeable(_load_peft(model, path, trainable))
    if record is not None:
        tuned.quantization = record
        release_heap()  # PEFT looks at each layer's weight, which is unpacked for it
    return tuned


def _load_peft(model: Any, path: Path, trainable: bool) -> Any:
    from peft import PeftModel

    check_patterns(path, [name for name, _ in model.named_modules()])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tensors that don't fit, which _refuse_leftovers says better
            tuned = PeftModel.from_pretrained(model, str(path), is_trainable=trainable)
            _refuse_leftovers(tuned, path)
    except GraftError:
        raise
    except Exception as error:  # whatever PEFT, safetensors and torch raise on files and values of any kind
        raise misfit(path, model, reason_of(error)) from error
    return tuned.train(trainable)


def _refuse_leftovers(tuned: Any, path: Path) -> None:
    """PEFT passes over tensors of the file that the model has no place for, and places the file has no tensor for."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    file = path / WEIGHTS
    if not file.is_file():
        return
    with safe_open(file, framework="pt") as stream:
        saved = set(stream.keys())
    placed = set(get_peft_model_state_dict(tuned, save_embedding_layers=False))
    for names, what in ((saved - placed - set(tuned.state_dict()), "no parameter"), (placed - saved, "no tensor")):
        if names:
            raise misfit(path, tuned.get_base_model(), f"{what} for {len(names)} of {len(saved)}, such as {min(names)}")


def misfit(path: Path, model: Any, reason: str) -> InputError:
    """The error for an adapter that does not fit a model."""
    return InputError(
        f"the adapter does not fit the model {model.name_or_path or type(model).__name__}: {reason}",
        where=str(path),
        remedy="use the base model that adapter_config.json names",
    )
