"""``graft generate-adapter``: many adapters on one ONNX base, each checked against its PyTorch twin."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from graft._version import __version__
from graft.config import DataSettings, ExportSettings, GenerateAdapterSettings, build
from graft.data.chat_template import Renderer
from graft.data.tokenize import TokenizedExample
from graft.errors import GateError, InputError
from graft.export import bundle
from graft.export.adapter_placement import adapter_entry
from graft.export.cached_predictions import cached_parity_check, recorded_evaluation
from graft.export.calibration_rows import calibration
from graft.export.onnx.export_builder import ExportBuilder, SourceModel, Variant
from graft.export.onnx.graph import in_graph, node_of
from graft.export.onnx.lora_adapter import (
    LoraAdapter,
    adapter_path,
    check_shapes,
    name_paths,
    open_adapters,
    write_adapter,
)
from graft.export.onnx.lora_slots import add_slots, linear_shapes, slot_options
from graft.export.onnx.model_builder import check_heads, versions
from graft.export.parity import ParityCheck, reference
from graft.hardware.machine import machine
from graft.inference.cached import CachedPredictor
from graft.inference.torch import TorchPredictor
from graft.methods.adapter_folder import load_adapter
from graft.methods.quantized import INT4, read_record
from graft.models.base import Base, load_model, load_tokenizer, open_run_or_model
from graft.models.load import quiet
from graft.models.open import Opened
from graft.progress import Reporter, Silent
from graft.runs.folder import RunFolder
from graft.tasks.evaluation_rows import load_evaluation_rows


def generate_adapter(settings: GenerateAdapterSettings | Mapping[str, Any], reporter: Reporter | None = None) -> Path:
    """Build the base with slots and an adapter file each, or add adapters to a bundle. Returns the folder.

    Raises:
        InputError: when an adapter does not fit the base, or is of a kind that can't be switched; nothing is written.
        GateError: when an adapter answers worse than its PyTorch twin; the folder is there, marked failed.
    """
    given = settings if isinstance(settings, GenerateAdapterSettings) else build(GenerateAdapterSettings, settings)
    reporter = reporter or Silent()
    if given.add:
        return _add(given, reporter)
    if given.base_model_path is None or not given.adapter_paths or given.output_path is None:
        raise InputError(
            "a base, adapters and an output folder are needed",
            remedy="graft generate-adapter --base_model_path MODEL --adapter_paths a,b --output_path OUT",
        )
    bundle.check_output(given.output_path, given.overwrite)
    base = open_run_or_model(given.base_model_path, reporter, given).base
    check_heads(base)
    adapters = open_adapters(name_paths(given.adapter_paths), base)
    _check_against(base, adapters)
    with bundle.staged(given.output_path, given.overwrite) as folder:
        parity = _build(given, base, adapters, folder, reporter)
    return _gated(given.output_path, parity)


def _check_against(base: Base, adapters: Sequence[LoraAdapter]) -> None:
    """Shapes and names against the base's own weights, before anything is built."""
    from safetensors import safe_open

    shapes: dict[str, tuple[int, int]] = {}
    for file in base.path.glob("*.safetensors"):
        with safe_open(file, framework="np") as stream:
            for name in stream.keys():  # noqa: SIM118  (not a mapping)
                dims = stream.get_slice(name).get_shape()
                parts = in_graph(name.removesuffix(".weight"))
                if len(dims) == 2:
                    shapes |= {node_of(part): (dims[1], dims[0] // len(parts)) for part in parts}
    for adapter in adapters:
        check_shapes(adapter, shapes)


def _build(
    settings: GenerateAdapterSettings, base: Base, adapters: Sequence[LoraAdapter], folder: Path, reporter: Reporter
) -> dict[str, Any]:
    tokenizer = load_tokenizer(base, settings.chat_template)
    work = folder / ".work"
    model = load_model(base)
    (work / "base").mkdir(parents=True)
    with quiet():
        model.save_pretrained(work / "base")
        tokenizer.save_pretrained(work / "base")
    ends = TorchPredictor("", model, tokenizer, Renderer(tokenizer)).ends()
    modules = sorted({module for adapter in adapters for module in adapter.matrices})
    reporter.note(f"building the base in {settings.precision} with {len(modules)} slots")
    tuned, rows = _listening(model, adapters, tokenizer)
    source_model = SourceModel(work / "base", tuned)
    builder = ExportBuilder(lambda way: source_model, "cpu", rows, reporter.advance, slot_options(modules))
    variant = Variant(settings.precision, _rounding(adapters, rows))
    builder.make(variant, work / "made")
    add_slots(work / "made", modules)
    bundle.finish_tokenizer(work / "made", tokenizer, ends, share_buffer=False)
    for file in sorted((work / "made").iterdir()):
        file.replace(folder / file.name)
    shutil.rmtree(work)
    bundle.write_manifest(
        folder,
        graft=__version__,
        command="generate-adapter",
        kind="bundle",
        status="running",
        base={"name": base.name, "path": str(base.path), "sha256": base.sha256, "licence": base.license},
        precision=variant.precision,
        rounding=variant.rounding if variant.precision == "int4" else None,
        provider="CPUExecutionProvider",
        size_mb=bundle.size_mb(folder),
        sha256=bundle.weights_sha256(folder),
        slots=modules,
        adapters={},
        machine=machine(),
        versions=versions(),
    )
    return _put(settings, base, adapters, folder, tokenizer, reporter)


def _listening(
    model: Any, adapters: Sequence[LoraAdapter], tokenizer: Any
) -> tuple[Any, dict[str, Sequence[TokenizedExample]]]:
    """``model`` with the adapters in it that have rows to round for, and their rows by the name they have there."""
    from peft import PeftModel

    rows: dict[str, Sequence[TokenizedExample]] = {}
    tuned: Any = model
    for number, adapter in enumerate(adapters):
        found = calibration(adapter.run, tokenizer)
        if not found:
            continue
        name = f"adapter_{number}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # check_shapes has looked at what PEFT warns of
            if rows:
                tuned.load_adapter(str(adapter.path), name)
            else:
                tuned = PeftModel.from_pretrained(model, str(adapter.path), adapter_name=name)
        rows[name] = found
    return tuned, rows


def _rounding(adapters: Sequence[LoraAdapter], rows: Mapping[str, Any]) -> str:
    """As trained, where all adapters were trained over the deployment's own int4 weights."""
    records = [read_record(adapter.path) for adapter in adapters]
    if all(record is not None and record.get("format") == INT4["format"] for record in records):
        return "trained"
    return "gptq" if rows else "k_quant"


def _put(
    settings: GenerateAdapterSettings,
    base: Base,
    adapters: Sequence[LoraAdapter],
    folder: Path,
    tokenizer: Any,
    reporter: Reporter,
) -> dict[str, Any]:
    """Adapter files into ``folder`` with their entries in the manifest, and what the gate said of each."""
    shapes, slots = linear_shapes(folder), bundle.read_manifest(folder)["slots"]
    for adapter in adapters:
        check_shapes(adapter, shapes, slots)
    for adapter in adapters:
        write_adapter(adapter, adapter_path(folder, adapter.name))
    listed = bundle.read_manifest(folder)["adapters"] | {a.name: adapter_entry(a, folder) for a in adapters}
    bundle.write_manifest(folder, adapters=listed)
    said: dict[str, Any] = {}
    for adapter in adapters:
        said[adapter.name] = _judge(settings, base, adapter, folder, tokenizer, reporter)
        listed[adapter.name]["parity"] = said[adapter.name] or "skipped: there are no rows, or --skip_parity"
    failed = any(isinstance(one["parity"], dict) and not one["parity"]["passed"] for one in listed.values())
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    _write_readme(folder, base, listed)
    bundle.write_manifest(folder, adapters=listed, status="failed" if failed else "finished", finished=now)
    return said


def _judge(
    settings: GenerateAdapterSettings,
    base: Base,
    adapter: LoraAdapter,
    folder: Path,
    tokenizer: Any,
    reporter: Reporter,
) -> dict[str, Any] | None:
    if settings.skip_parity or adapter.run is None:
        return None
    run = RunFolder.open(adapter.run)
    model = load_adapter(load_model(base), adapter.path).merge_and_unload()
    known = recorded_evaluation(run, tokenizer)
    if known is not None:
        parity_check = cached_parity_check(run, known, model, tokenizer, settings.parity_rows, reporter)
    else:
        rows = load_evaluation_rows(run, None, DataSettings()).first(settings.parity_rows)
        tuned = TorchPredictor("pytorch", model, tokenizer, Renderer(tokenizer))
        answered = reference(model, tokenizer, rows.examples, tuned.ends(), reporter)
        parity_check = ParityCheck(rows, tokenizer, [CachedPredictor(tuned)], answered)
    gate = ExportSettings(max_accuracy_drop=settings.max_accuracy_drop)
    return parity_check.judge(folder, adapter.name, gate, reporter, adapter.name)


def _add(settings: GenerateAdapterSettings, reporter: Reporter) -> Path:
    folder = settings.output_path or Path(settings.base_model_path or "")
    if not bundle.is_bundle(folder) or "slots" not in bundle.read_manifest(folder):
        raise InputError(
            "this is no multi-adapter bundle", where=str(folder), remedy="graft generate-adapter --add NAME=PATH BUNDLE"
        )
    manifest = bundle.read_manifest(folder)
    named = name_paths(settings.add)
    taken = sorted(set(named) & set(manifest["adapters"]))
    if taken and not settings.overwrite:
        raise InputError(f"the bundle has an adapter {taken[0]!r} already", where=str(folder), remedy="--overwrite")
    base = _base_of(manifest, reporter)
    adapters = open_adapters(named, base)
    return _gated(
        folder, _put(settings, base, adapters, folder, load_tokenizer(base, settings.chat_template), reporter)
    )


def _base_of(manifest: dict[str, Any], reporter: Reporter) -> Base:
    """The PyTorch model that the bundle's base was made from."""
    recorded = manifest["base"]
    path = Path(recorded["path"])
    opened: Opened = open_run_or_model(path if path.is_dir() else recorded["name"], reporter)
    if opened.base.sha256 != recorded["sha256"]:
        raise InputError("the model the bundle was made from has changed", where=str(opened.base.path))
    return opened.base


def _write_readme(folder: Path, base: Base, listed: Mapping[str, Any]) -> None:
    facts = [f"base: {base.label}, {bundle.read_manifest(folder)['size_mb']} MB; licence: {base.license or 'unknown'}"]
    for name, entry in listed.items():
        parity = entry["parity"]
        said = parity["why"] if isinstance(parity, dict) else parity
        facts.append(f"adapter {name}: {entry['size_mb']} MB, rank {', '.join(map(str, entry['ranks']))}; {said}")
    title = f"{base.label} with {len(listed)} adapters"
    bundle.readme(folder, title, facts, [{"role": "user", "content": "Hello"}], list(listed))


def _gated(folder: Path, parity: Mapping[str, Any]) -> Path:
    failed = {name: one for name, one in parity.items() if one is not None and not one["passed"]}
    if failed:
        said = "; ".join(f"{name}: {one['why']}" for name, one in failed.items())
        raise GateError(f"adapters answer worse than their PyTorch twins: {said}", where=str(folder))
    return folder
