"""Where an adapter goes when its model is deployed: into the weights, beside them, or in by a slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from graft.config import ExportSettings
from graft.data.sources import sha256_of
from graft.errors import InputError
from graft.export.bundle import ADAPTERS
from graft.export.onnx.export_builder import SourceModel
from graft.export.onnx.lora_adapter import LoraAdapter, adapter_path, open_adapter
from graft.methods.adapter_folder import load_adapter
from graft.methods.quantized import INT4, read_record
from graft.models.base import load_model
from graft.models.load import quiet
from graft.models.open import Opened
from graft.runs.folder import RunFolder
from graft.runs.settings import recorded_data_settings

QUICKER = 1.05
"""A switchable adapter is taken by ``auto`` when its bundle is quicker by more than measurements differ."""


def ways(settings: ExportSettings, opened: Opened) -> list[str]:
    """The ways to try: ``merge``, ``beside``, ``switch``.

    Raises:
        InputError: when there is no adapter to switch, or not over the weights that are asked for.
    """
    if opened.adapter is None:
        if settings.adapter in {"switch", "auto"}:
            raise InputError(
                f"--adapter {settings.adapter}: there is no adapter to switch",
                where=opened.name,
                remedy="a run of --method full has none; give a run of lora or qlora, or --adapter_path",
            )
        return ["merge"]
    trained = trained_in_int4(opened)
    as_trained = trained and settings.precision == "int4" and settings.rounding == "auto"
    if settings.adapter in {"switch", "auto"} and trained and not as_trained:
        raise InputError(
            "what qlora trained can only stand beside the int4 weights it was trained over",
            where=opened.name,
            remedy="--precision int4 and no --rounding, or --adapter merge",
        )
    if settings.adapter in {"merge", "switch"}:
        return [str(settings.adapter)]
    usual = "beside" if as_trained else "merge"
    return [usual, "switch"] if settings.adapter == "auto" else [usual]


def trained_in_int4(opened: Opened) -> bool:
    """Whether the adapter was trained over the deployment's own int4 weights (--method qlora on a CPU)."""
    record = read_record(opened.adapter) if opened.adapter is not None else None
    return record is not None and record.get("format") == INT4["format"]


class SourceModels:
    """What each way is built from, made when it is first asked for, in ``work``."""

    def __init__(self, opened: Opened, tokenizer: Any, work: Path, merged: Any) -> None:
        self.opened, self.tokenizer, self.work = opened, tokenizer, work
        self._merged = SourceModel(work / "merged", merged)

    def __call__(self, way: str) -> SourceModel:
        return self._merged if way == "merge" else self._apart

    @cached_property
    def adapter(self) -> LoraAdapter:
        """Raises:
        InputError: when the adapter is none that can be kept apart.
        """
        assert self.opened.adapter is not None
        return open_adapter(slot_name(self.opened), self.opened.adapter, self.opened.base)

    @cached_property
    def _apart(self) -> SourceModel:
        adapter = self.adapter
        folder = self.work / "base"
        model = load_model(self.opened.base)
        folder.mkdir(parents=True)
        with quiet():
            model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        if trained_in_int4(self.opened):  # its weights are the builder's own
            return SourceModel(folder, None, adapter)
        return SourceModel(folder, load_adapter(model, adapter.path), adapter)


def slot_name(opened: Opened) -> str:
    """The name the adapter is switched by."""
    name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in opened.name).strip("-")
    return name or "adapter"


def adapter_entry(adapter: LoraAdapter, folder: Path) -> dict[str, Any]:
    """For the manifest of the bundle in ``folder``."""
    file = adapter_path(folder, adapter.name)
    return {
        "file": f"{ADAPTERS}/{file.name}",
        "sha256": sha256_of(file),
        "from": {
            "path": str(adapter.run or adapter.path),
            "sha256": sha256_of(adapter.path / "adapter_model.safetensors"),
        },
        "ranks": adapter.ranks,
        "modules": len(adapter.matrices),
        "size_mb": round(file.stat().st_size / 1e6, 1),
        "shape": recorded_data_settings(RunFolder.open(adapter.run)) if adapter.run else None,
    }


def compared(speeds: Mapping[str, float | None], took: str, asked: str | None) -> dict[str, Any]:
    """For the manifest: which way was taken, why, and the tokens a second of each that was measured."""
    if asked == "auto":
        listed = ", ".join(f"{way} {speed:g} tokens/s" for way, speed in speeds.items() if speed is not None)
        why = f"measured: {listed or 'nothing runs here'}"
    else:
        why = {
            "merge": "no cost at run time; --adapter switch keeps it exchangeable",
            "beside": "the weights are the int4 weights it was trained on; folding it in would round them again",
            "switch": "asked for",
        }[took]
    return {"way": took, "why": why, "tokens_per_second": dict(speeds)}


class Measured(Protocol):
    @property
    def speed(self) -> dict[str, float]: ...


Built = TypeVar("Built", bound=Measured)


def quickest(candidates: Sequence[Built], first: Built) -> Built:
    """``first``, unless a candidate of the same weights with its adapter another way is clearly quicker."""

    def speed(one: Measured) -> float:
        return float(one.speed.get("tokens_per_second", 0.0))

    best = max(candidates, key=speed, default=first)
    return best if speed(best) > QUICKER * speed(first) else first
