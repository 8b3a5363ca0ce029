"""The model that was judged, and one plain model with its adapter merged into the weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.errors import InputError
from graft.export.merge_check import MergeCheck
from graft.methods import METHODS
from graft.methods.adapter_folder import base_format, is_quantized, load_adapter, read_config
from graft.methods.merge import why_unmergeable
from graft.methods.recorded import load_tuned, method_of
from graft.models.adapter_config import CONFIG
from graft.models.base import Opened
from graft.models.load import quiet
from graft.tasks.load import load_for

if TYPE_CHECKING:
    from graft.export.source import ExportSource


def load_judged(source: ExportSource) -> Any:
    """Load the model as ``graft evaluate`` does: the base, and its adapter over it, not merged.

    Args:
        source: The model to export.

    Returns:
        The model in float32 and in evaluation mode: of transformers, or of PEFT or the method where there is an
        adapter. What an export is compared with is asked of it before ``merge_judged`` uses it up.

    Raises:
        InputError: If the model does not load, or the adapter does not fit it.
    """
    run = source.run
    seed = (run.manifest.seed or 0) if run is not None else 0
    quantized = is_quantized(source.adapter)
    model = load_for(source.task, source.encoding, source.base, seed, to_quantize=quantized)
    if source.adapter is not None and base_format(source.adapter) == "nf4":
        # PEFT would round what it merges to NF4 again, and bitsandbytes' layers can be on another device than the rest.
        return load_adapter(model, source.adapter, as_float=True).eval()
    return load_tuned(model, source.opened).eval()


def merge_judged(model: Any, source: ExportSource, folder: Path | None) -> Any:
    """Merge the adapter of a model into its weights, and check that the result is the same function.

    Args:
        model: What ``load_judged`` returned for ``source``; it is used up.
        source: The model to export.
        folder: Where the merged model and the tokenizer are written; None to write nothing.

    Returns:
        The plain model of transformers. Where there was an adapter, ``merge_entry`` gives what was measured.

    Raises:
        InputError: If the adapter cannot be merged.
        GraftError: If the merged model gives other logits.
    """
    if source.adapter is not None:
        check_mergeable(source.opened)
        check = MergeCheck(model, source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = method_of(source.opened).merge(model)
        model.merge_difference = check.check(model)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            model.save_pretrained(folder)
            source.tokenizer.save_pretrained(folder)
    return model


def adapter_config(adapter: Path) -> dict[str, Any]:
    """The content of an adapter folder's adapter_config.json.

    Raises:
        InputError: If there is no such file, or it is damaged.
    """
    if not (adapter / CONFIG).is_file():
        raise not_an_adapter(adapter)
    return read_config(adapter)


def not_an_adapter(path: Path) -> InputError:
    """The error for a path without an adapter_config.json."""
    what = "this folder is not an adapter: it has no adapter_config.json" if path.exists() else "no such folder"
    return InputError(what, where=str(path), remedy="give a run folder or a PEFT adapter folder")


def check_mergeable(opened: Opened) -> None:
    """Check that the adapter can be merged.

    Raises:
        InputError: If the adapter of ``opened`` cannot be merged into the weights.
    """
    adapter, method = opened.adapter, method_of(opened)
    if adapter is None or (method.mergeable and method.loads_with == "graft" and method.name not in METHODS.builtin):
        return
    if not method.mergeable and not (adapter / "adapter_config.json").is_file():
        raise InputError(
            f"weights trained with --method {method.name} cannot be merged for export",
            where=str(adapter),
            remedy="train with --method lora, qlora or full",
        )
    config = adapter_config(adapter)
    reason = why_unmergeable(config)
    if reason is not None:
        raise InputError(
            f"an adapter of type {config.get('peft_type')} cannot be merged for export: {reason}",
            where=str(adapter),
            remedy="train with --method lora, qlora or full",
        )


def merge_entry(model: Any) -> dict[str, float]:
    """What a bundle's manifest records of the merge that made ``model``; nothing where nothing was merged."""
    found = getattr(model, "merge_difference", None)
    return {} if found is None else {"merge_difference": round(found, 8)}
