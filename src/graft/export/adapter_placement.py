"""Where an adapter goes when its model is exported: into the weights, next to them, or into a file of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from graft.config import GenerateAdapterSettings, OnnxGenaiConfig
from graft.data.sources import sha256_of
from graft.errors import InputError
from graft.export.onnx.adapter_prompt import write_template
from graft.export.onnx.export_builder import HOT_SWAPPABLE, MERGED, UNMERGED, SourceModel
from graft.export.onnx.genai_folder import ADAPTERS
from graft.export.onnx.lora_adapter import LoraAdapter, adapter_folder, adapter_path, open_adapter
from graft.export.onnx.plain_lora import check_plain_lora, is_plain_lora
from graft.export.prompt_record import adapter_prompt_record
from graft.methods.adapter_folder import load_adapter, read_record
from graft.methods.quantized import INT4
from graft.models.base import Base, load_model
from graft.models.load import quiet
from graft.models.open import Opened
from graft.runs.paths import portable_path

FASTER = 1.05
"""How many times faster a hot-swappable adapter must be for ``auto`` to choose it: measurements differ by less."""


def placements(config: OnnxGenaiConfig, precision: str, opened: Opened) -> list[str]:
    """The placements to build.

    Returns:
        ``merged``, ``unmerged`` or ``hot-swappable``; for ``--adapter auto`` two of them, the default first.

    Raises:
        InputError: If there is no adapter that can be hot-swappable, or it was not trained over the weights asked for.
    """
    swap = config.adapter in {HOT_SWAPPABLE, "auto"}
    if opened.adapter is None:
        if swap:
            raise InputError(
                f"--adapter {config.adapter}: this model has no adapter",
                where=opened.name,
                remedy="a --method full run has no adapter; give a lora or qlora run, or --adapter_path",
            )
        return [MERGED]
    if swap:
        check_plain_lora(opened.adapter)
    trained = trained_in_int4(opened.adapter)
    as_trained = trained and precision == "int4" and config.rounding == "auto"
    if swap and trained and not as_trained:
        raise InputError(
            "a qlora adapter matches only the int4 weights that it was trained on",
            where=opened.name,
            remedy="--precision int4 without --rounding, or --adapter merged",
        )
    if config.adapter in {MERGED, HOT_SWAPPABLE}:
        return [str(config.adapter)]
    usual = UNMERGED if as_trained and is_plain_lora(opened.adapter) else MERGED
    return [usual, HOT_SWAPPABLE] if config.adapter == "auto" else [usual]


def trained_in_int4(adapter: Path | None) -> bool:
    """Whether ``adapter`` was trained over the int4 weights that ship (``--method qlora`` on a CPU)."""
    record = read_record(adapter) if adapter is not None else None
    return record is not None and record.get("format") == INT4["format"]


class SourceModels:
    """The source model of each adapter placement, made in ``work`` when it is first asked for.

    Args:
        opened: The model and its adapter.
        tokenizer: Its tokenizer.
        work: A folder to work in, whose subfolder ``merged`` holds the merged model.
        merged: The merged model; None if no placement needs it.
    """

    def __init__(self, opened: Opened, tokenizer: Any, work: Path, merged: Any | None = None) -> None:
        self.opened, self.tokenizer, self.work = opened, tokenizer, work
        self.merged = merged

    def __call__(self, placement: str) -> SourceModel:
        return SourceModel(self.work / "merged", self.merged) if placement == MERGED else self._separate

    @cached_property
    def adapter(self) -> LoraAdapter:
        """The adapter as matrices.

        Raises:
            InputError: If it is not plain LoRA.
        """
        assert self.opened.adapter is not None
        return open_adapter(slot_name(self.opened), self.opened.adapter, self.opened.base)

    @cached_property
    def _separate(self) -> SourceModel:
        adapter = self.adapter
        model = save_base(self.opened.base, self.tokenizer, self.work / "base")
        if trained_in_int4(adapter.path):  # the model builder makes its very weights: nothing is rounded here
            return SourceModel(self.work / "base", None, adapter)
        return SourceModel(self.work / "base", load_adapter(model, adapter.path), adapter)


def as_trained(given: GenerateAdapterSettings, adapters: Mapping[str, Path]) -> GenerateAdapterSettings:
    """The settings for ``adapters`` (name to folder) with the one precision in which those of qlora runs are right.

    Raises:
        InputError: If another precision is asked for.
    """
    trained = [name for name, path in adapters.items() if trained_in_int4(adapter_folder(path))]
    if not trained or given.precision == "int4":
        return given
    if given.precision in {None, "auto"}:
        return given.model_copy(update={"precision": "int4"})
    raise InputError(
        f"a qlora adapter matches only the int4 weights that it was trained on, not {given.precision}: "
        f"{', '.join(trained)}",
        where="--precision",
        remedy="--precision int4, or merge them: graft auto-opt --adapter merged",
    )


def save_base(base: Base, tokenizer: Any, folder: Path) -> Any:
    """Load ``base`` in float32, write it to ``folder`` for the model builder, and return it."""
    model = load_model(base)
    folder.mkdir(parents=True)
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return model


def slot_name(opened: Opened) -> str:
    """The name that a model's adapter is activated by."""
    name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in opened.name).strip("-")
    return name or "adapter"


def adapter_entry(adapter: LoraAdapter, folder: Path, base: Base, tokenizer: Any) -> dict[str, Any]:
    """What the manifest of the bundle in ``folder`` records of ``adapter``, which is over ``base``.

    ``tokenizer`` has the chat template that the adapter was trained with; where that is not the bundle's own, it is
    written beside the adapter.
    """
    file = adapter_path(folder, adapter.name)
    template = write_template(folder, adapter.name, tokenizer.chat_template)
    template_sha256 = sha256_of(folder / template) if template is not None else None
    return {
        "file": f"{ADAPTERS}/{file.name}",
        "sha256": sha256_of(file),
        "from": {
            "path": portable_path(adapter.run or adapter.path, folder),
            "name": (adapter.run or adapter.path).resolve().name,
            "sha256": sha256_of(adapter.path / "adapter_model.safetensors"),
        },
        "ranks": adapter.ranks,
        "modules": len(adapter.matrices),
        "size_mb": round(file.stat().st_size / 1e6, 1),
        "prompt": adapter_prompt_record(adapter.run, base, tokenizer, template, template_sha256),
    }


def placement_entry(
    speeds: Mapping[str, float | None], placement: str, asked: str | None, trained: bool = False
) -> dict[str, Any]:
    """What the manifest records of the choice of ``placement``.

    Args:
        speeds: Generated tokens per second by placement, where it was measured.
        placement: The one that was chosen.
        asked: The value of ``--adapter``.
        trained: Whether the adapter was trained over int4 weights.
    """
    if asked == "auto":
        listed = ", ".join(f"{name} {speed:g} tokens/s" for name, speed in speeds.items() if speed is not None)
        reason = f"measured: {listed or 'the bundle cannot run on this machine'}"
    else:
        reason = {
            MERGED: "merged with the int4 weights it was trained on, which were rounded again"
            if trained
            else "no run-time cost; use --adapter hot-swappable to keep the adapter in a separate file",
            UNMERGED: "the adapter was trained on these int4 weights; merging would round them again",
            HOT_SWAPPABLE: "asked for",
        }[placement]
    return {"placement": placement, "reason": reason, "tokens_per_second": dict(speeds)}


class Measured(Protocol):
    """What was built and timed."""

    @property
    def speed(self) -> Mapping[str, float]:
        """Figures by name, such as ``tokens_per_second``; empty if it cannot run on this machine."""


Built = TypeVar("Built", bound=Measured)


def fastest(candidates: Sequence[Built], default: Built) -> Built:
    """``default``, unless one of ``candidates``, the same weights with another placement, is clearly faster."""

    def speed(one: Measured) -> float:
        return float(one.speed.get("tokens_per_second", 0.0))

    best = max(candidates, key=speed, default=default)
    return best if speed(best) > FASTER * speed(default) else default
