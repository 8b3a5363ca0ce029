"""``graft auto-opt`` and ``graft generate-adapter``: from a tuned model to a bundle that runs without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.config import ExportSettings, GenerateAdapterSettings, Settings, build
from graft.errors import GateError, InputError
from graft.export import bundle
from graft.export.base_again import open_base_again
from graft.export.manifest import write_bundle_manifest
from graft.export.source import ExportSource, open_base, open_source, source_of_base
from graft.export.target import TARGETS, Choice, choose_target, chosen, export_settings
from graft.progress import Reporter, Silent, enter
from graft.runs.kind import is_bundle
from graft.runs.links import refuse_links
from graft.runs.manifest import read_bundle

MULTI_ADAPTER = "onnx-multi-adapter"


def export_model(settings: ExportSettings | Mapping[str, Any], reporter: Reporter | None = None) -> Path:
    """Export a model, and compare the result with it.

    Args:
        settings: Settings of ``ExportSettings`` and of the target, by name.
        reporter: Shows notes and progress.

    Returns:
        The bundle's folder.

    Raises:
        InputError: If the model, the adapter or an option is wrong; nothing was written.
        GateError: If the bundle answers worse than allowed; its folder is there, marked as failed.
        GraftError: If the work failed; there is no folder.
    """
    reporter = reporter or Silent()
    given = settings if isinstance(settings, ExportSettings) else build(_settings_of(settings), settings)
    enter(reporter, "loading")
    source = open_source(given, reporter)
    choice = choose_target(given.format, source, given)
    output = given.output_path or _default_output(choice, source)
    return _export(choice, source, output, reporter)


def generate_adapter(settings: GenerateAdapterSettings | Mapping[str, Any], reporter: Reporter | None = None) -> Path:
    """Export a base with several hot-swappable adapters, or add adapters to such a bundle.

    Args:
        settings: Settings of ``GenerateAdapterSettings``.
        reporter: Shows notes and progress.

    Returns:
        The bundle's folder.

    Raises:
        InputError: If an adapter does not fit the base, or cannot be hot-swappable; nothing was written.
        GateError: If an adapter answers worse than in PyTorch; the folder is there, marked as failed.
    """
    from graft.export.adapter_placement import as_trained
    from graft.export.onnx.lora_adapter import name_paths

    reporter = reporter or Silent()
    given = settings if isinstance(settings, GenerateAdapterSettings) else build(GenerateAdapterSettings, settings)
    if given.add:
        return _add_adapters(given, reporter)
    if given.base_model_path is None or not given.adapter_paths or given.output_path is None:
        raise InputError(
            "give a base, adapters and an output folder",
            remedy="graft generate-adapter --base_model_path MODEL --adapter_paths A,B --output_path OUT",
        )
    bundle.check_output(given.output_path, given.overwrite)
    adapters = name_paths(given.adapter_paths)
    choice = chosen(TARGETS.get(MULTI_ADAPTER), as_trained(given, adapters))
    enter(reporter, "loading")
    source = open_base(given, adapters, reporter)
    reason = choice.target.can(source, choice.options, choice.config)
    if reason is not None:
        raise reason
    return _export(choice, source, given.output_path, reporter)


def _export(choice: Choice, source: ExportSource, output: Path, reporter: Reporter) -> Path:
    """Build, write the manifest, put the folder in place, and raise if the gate is not passed."""
    with bundle.staged(output, choice.options.overwrite) as folder:
        enter(reporter, "writing")
        built = choice.target.build(source, choice.options, choice.config, folder, reporter)
        write_bundle_manifest(folder, choice, source, built)
    if not built.passed:
        limit = "set the limit with --max_accuracy_drop"
        searches = "auto" in choice.target.precisions
        raise GateError(
            f"the bundle answers worse than the PyTorch model: {built.reason}",
            where=str(output),
            remedy=f"use --precision auto to find a variant that passes, or {limit}" if searches else limit,
        )
    return output


def _add_adapters(given: GenerateAdapterSettings, reporter: Reporter) -> Path:
    """Add adapters to a bundle without building it again."""
    from graft.export.onnx.lora_adapter import name_paths
    from graft.export.onnx.multi_adapter_export import MultiAdapterExport, check_names, check_trained

    folder = given.output_path or Path(given.base_model_path or "")
    named_base = given.base_model_path if given.output_path is not None else None
    if not is_bundle(folder):
        remedy = "graft generate-adapter --add NAME=PATH BUNDLE"
        raise InputError("this folder is not a bundle", where=str(folder), remedy=remedy)
    refuse_links(folder)
    manifest, named = read_bundle(folder), name_paths(given.add)
    check_names(folder, manifest, named, given.overwrite)
    check_trained(folder, manifest, named)
    recorded = manifest.base
    if recorded is None:
        raise InputError("the manifest names no base model", where=str(folder))
    opened = open_base_again(folder, recorded, list(named.values()), named_base, reporter)
    source = source_of_base(opened, given.chat_template, named)
    listed = {name: entry.document() for name, entry in manifest.adapters.items()}
    export = MultiAdapterExport(source, given, folder, reporter, listed)
    built = export.add(manifest.slots or [], {}, manifest.precision)
    status = "finished" if built.passed else "failed"
    bundle.write_manifest(folder, **built.entries, size_mb=built.size_mb, parity=built.parity, status=status)
    if not built.passed:
        raise GateError(f"some adapters answer worse than in PyTorch: {built.reason}", where=str(folder))
    return folder


def _default_output(choice: Choice, source: ExportSource) -> Path:
    if source.run is None:
        raise InputError("no output folder is given", remedy="--output_path FOLDER")
    return source.run.path / f"{choice.target.format}-{choice.options.precision}"


def _settings_of(given: Mapping[str, Any]) -> type[Settings]:
    """The settings of every target, among them one that ``given`` names as a file."""
    named = given.get("format", given.get("output_format"))
    return export_settings(str(named) if named is not None else None)
