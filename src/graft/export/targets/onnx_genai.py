"""``graft auto-opt``: from a tuned model to a folder that runs without PyTorch, checked before it is called done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.config import DataSettings, ExportSettings, ModelSettings, build
from graft.data.chat_template import Renderer
from graft.errors import GateError, InputError
from graft.evaluation.compare import Evaluation
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.store import record
from graft.export import bundle
from graft.export.adapter_placement import SourceModels, adapter_entry, slot_name, trained_in_int4, ways
from graft.export.cached_predictions import cached_parity_check, recorded_evaluation
from graft.export.calibration_rows import calibration
from graft.export.candidates import Candidate, choose, variants
from graft.export.manifest import write_bundle_files
from graft.export.merge import check_mergeable, merged
from graft.export.onnx.export_builder import ExportBuilder, Variant
from graft.export.onnx.model_builder import check_heads, choose_provider, runs_here
from graft.export.onnx.worker import OnnxWorker
from graft.export.parity import ParityCheck, reference
from graft.export.targets import gguf
from graft.export.targets import onnx_encoder as encoders
from graft.inference.cached import CachedPredictor
from graft.inference.torch import TorchPredictor
from graft.models.base import load_model, load_tokenizer, open_run_or_model, resolve, untuned
from graft.models.open import Opened, check_adapter
from graft.progress import Reporter, Silent
from graft.report import write_pages
from graft.runs.folder import RunFolder
from graft.tasks.evaluation_rows import load_evaluation_rows
from graft.tasks.open import open_task


def optimize(settings: ExportSettings | Mapping[str, Any], reporter: Reporter | None = None) -> Path:
    """Build, check, and put in place. Returns the bundle's folder.

    Raises:
        InputError: when the model, the adapter or the target is wrong; nothing has been written then.
        GateError: when the bundle answers worse than allowed; its folder is there, marked failed.
        GraftError: when the work failed; there is no folder then.
    """
    given = settings if isinstance(settings, ExportSettings) else build(ExportSettings, settings)
    reporter = reporter or Silent()
    provider, builder = choose_provider(given.device, given.provider, given.precision, given.format)
    opened = source(given, reporter)
    if opened.adapter is not None:
        check_mergeable(opened.adapter)
    task, encoding = open_task(opened, given, DataSettings())
    if task.name in encoders.TASKS:
        return encoders.write(given, opened, task, encoding, reporter)
    if task.name != "text-generation":
        raise InputError(f"models for {task.name} are not exported yet", where=opened.name)
    if given.format == "gguf":
        return gguf.write(given, opened, reporter)
    check_heads(opened.base)
    output = given.output_path or _beside(opened, given)
    bundle.check_output(output, given.overwrite)
    bundle.disk_room(output, 3 * sum(file.stat().st_size for file in opened.base.path.glob("*.safetensors")))
    tokenizer = load_tokenizer(opened.base, given.chat_template)
    with bundle.staged(output, given.overwrite) as folder:
        parity = _optimize(given, opened, tokenizer, folder, provider, builder, reporter)
    if parity is not None and not parity["passed"]:
        raise GateError(
            f"the bundle answers worse than the PyTorch model: {parity['why']}",
            where=str(output),
            remedy="--precision auto finds what passes; --max_accuracy_drop says what may be lost",
        )
    return output


def source(settings: ExportSettings, reporter: Reporter) -> Opened:
    """The model, its adapter, and the run they are from, if any.

    Raises:
        InputError: when they are not there.
    """
    named, adapter = settings.model_name_or_path, settings.adapter_path
    if adapter is None:
        if named is None:
            raise InputError("which run or model?", remedy="graft auto-opt RUN, or --model_name_or_path MODEL")
        return open_run_or_model(named, reporter, settings)
    if not (adapter / "adapter_config.json").is_file():
        raise InputError("this is no adapter: there is no adapter_config.json in it", where=str(adapter))
    if named is None:
        return open_run_or_model(adapter, reporter, settings)
    check_adapter(adapter)
    base = resolve(ModelSettings(**settings.model_dump(include=set(ModelSettings.model_fields))), reporter)
    run = adapter.resolve().parent
    is_run = adapter.resolve().name == "adapter" and (run / "manifest.json").is_file()
    return Opened(base, adapter, run if is_run else None, adapter.resolve().name)


def _beside(opened: Opened, settings: ExportSettings) -> Path:
    if opened.run is None:
        raise InputError("no output folder is given", remedy="--output_path FOLDER")
    return opened.run / f"onnx-{settings.precision}"


def _optimize(
    settings: ExportSettings,
    opened: Opened,
    tokenizer: Any,
    folder: Path,
    provider: str,
    builder: str,
    reporter: Reporter,
) -> dict[str, Any] | None:
    """Fill ``folder``; returns what the gate said."""
    here = runs_here(provider)
    work = folder / ".work"
    each = ways(settings, opened)
    parity_check, model = _prepared(settings, opened, tokenizer, work / "merged", here, reporter)
    ends = TorchPredictor("", model, tokenizer, Renderer(tokenizer)).ends()
    rows = calibration(opened.run, tokenizer)
    source_models = SourceModels(opened, tokenizer, work, model)
    builder_of_variants = ExportBuilder(source_models, builder, {"": rows}, reporter.advance)
    tried: list[Candidate] = []
    for way, variant in variants(settings, bool(rows), here, each, trained_in_int4(opened)):
        if settings.precision != "auto" and way == each[0] and any(one.passed for one in tried):
            break
        reporter.note(f"building {variant.label}")
        made = work / f"made-{len(tried)}"
        builder_of_variants.make(variant, made)
        bundle.finish_tokenizer(made, tokenizer, ends, share_buffer=variant.way != "switch")
        name = slot_name(opened) if variant.way == "switch" else None
        if name is not None:
            bundle.write_manifest(made, **_slots(opened, made, source_models, name))
        tried.append(_tried(variant, made, parity_check, here, settings, tokenizer, reporter, name))
    chosen = choose(tried, settings)
    for file in sorted(chosen.folder.iterdir()):
        file.replace(folder / file.name)
    shutil.rmtree(work)
    write_bundle_files(folder, settings, opened, chosen, tried, provider, here)
    if chosen.evaluation is not None and opened.run is not None and settings.data_files is None:
        _add_column(RunFolder.open(opened.run), chosen.evaluation)
    return chosen.parity


def _add_column(run: RunFolder, found: Evaluation) -> None:
    """The bundle beside base and tuned in the run's evaluation and report; never on fewer rows than are in it."""
    file = run.path / "evaluation.json"
    before = json.loads(file.read_text(encoding="utf-8"))["data"]["rows"] if file.is_file() else 0
    if found.document["data"]["rows"] >= before:
        record(run, found)
        write_pages(run.path)


def _slots(opened: Opened, made: Path, source_models: SourceModels, name: str) -> dict[str, Any]:
    """What makes a bundle's adapter known by name, and answer when none is named."""
    return {
        "kind": "bundle",
        "slots": sorted(source_models.adapter.matrices),
        "adapters": {name: adapter_entry(source_models.adapter, made)},
        "default_adapter": name,
    }


def _tried(
    variant: Variant,
    made: Path,
    parity_check: ParityCheck | None,
    here: bool,
    settings: ExportSettings,
    tokenizer: Any,
    reporter: Reporter,
    adapter: str | None,
) -> Candidate:
    speed: dict[str, float] = {}
    if here:
        with OnnxWorker(made, adapter) as worker:
            prompt = (
                list(parity_check.reference.prompts[0])
                if parity_check
                else tokenizer("The way to the sea")["input_ids"]
            )
            speed = worker.ask("speed", prompt=prompt, tokens=64)
    name = f"onnx {variant.precision}"
    parity = None if parity_check is None else parity_check.judge(made, name, settings, reporter, adapter)
    evaluation = None if parity_check is None else parity_check.evaluations[name]
    found = Candidate(variant, made, bundle.size_mb(made), speed, parity, evaluation)
    reporter.note(f"{variant.label}: {found.size_mb} MB" + (f", {parity['why']}" if parity else ""))
    return found


def _prepared(
    settings: ExportSettings, opened: Opened, tokenizer: Any, folder: Path, here: bool, reporter: Reporter
) -> tuple[ParityCheck | None, Any]:
    """The rows with PyTorch's answers to them, where there are rows and they are wanted; the merged model."""
    wanted = here and not settings.skip_parity
    own = RunFolder.open(opened.run) if opened.run is not None and settings.data_files is None else None
    known = recorded_evaluation(own, tokenizer) if own is not None and wanted else None
    rows = _rows(settings, opened) if wanted and known is None else None
    reporter.note(f"loading {opened.name}")
    base = _asked_base(opened, rows, tokenizer, reporter) if own is not None and rows is not None else None
    model = merged(opened.base, opened.adapter, tokenizer, folder)
    tuned = TorchPredictor("tuned" if base else "model", model, tokenizer, Renderer(tokenizer))
    if known is not None and own is not None:
        reporter.note(f"PyTorch's answers to {len(known.rows.examples)} rows are in the run's evaluation")
        return cached_parity_check(own, known, model, tokenizer, settings.parity_rows, reporter), model
    if rows is None:
        return None, model
    predictors = [*([base] if base else []), CachedPredictor(tuned)]
    answered = reference(model, tokenizer, rows.examples, tuned.ends(), reporter)
    return ParityCheck(rows, tokenizer, predictors, answered), model


def _asked_base(opened: Opened, rows: EvaluationRows, tokenizer: Any, reporter: Reporter) -> CachedPredictor:
    """The untuned model, asked what evaluation asks; then it is out of memory again."""
    from graft.evaluation.compare import evaluate

    model = load_model(untuned(opened, reporter))
    found = CachedPredictor(TorchPredictor("base", model, tokenizer, Renderer(tokenizer)))
    evaluate([found], rows, reporter=reporter)
    found.release_model()
    return found


def _rows(settings: ExportSettings, opened: Opened) -> EvaluationRows | None:
    run = RunFolder.open(opened.run) if opened.run else None
    if run is None and settings.data_files is None:
        raise InputError(
            "there are no rows to compare the result with the PyTorch model on",
            remedy="give the run folder, or --data_files rows.jsonl, or --skip_parity",
        )
    return load_evaluation_rows(run, settings.data_files, DataSettings()).first(settings.parity_rows)
