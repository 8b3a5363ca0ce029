"""``graft evaluate``: base and tuned on the same rows, scored by the same code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.commands.evaluate_bundle import BundleEvaluation
from graft.commands.evaluate_endpoint import EndpointRequest, check_no_endpoint, evaluate_endpoint
from graft.commands.evaluation import documents, evaluated, kept_training_rows, note_other_kind
from graft.commands.failures import resource_errors
from graft.commands.forgetting import is_probed, probe_run
from graft.commands.open_predictors import (
    BASE,
    OF_A_BUNDLE,
    OF_LLAMA_CPP,
    PREVIOUS,
    TUNED,
    base_and_tuned,
    gguf_for_llama_cpp,
    open_by_name,
    open_model,
    prompt_beside,
    refuse_without_effect,
)
from graft.config import DataSettings, EvaluateSettings, EvaluationSettings, ModelSettings, build
from graft.data.sources import find_files, sha256_of
from graft.errors import InputError, Problems
from graft.evaluation.compare import Evaluation
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.store import loses_base, record, record_where_possible, write_evaluation
from graft.files import remove_stale, saying_what_failed
from graft.inference.llama_cpp_predictor import LlamaCppPredictor
from graft.inference.predictor import Predictor
from graft.inference.server_url import is_url
from graft.methods import METHODS
from graft.methods.recorded import base_context
from graft.models.base import Opened
from graft.planning.continuing import load_parent
from graft.planning.plan import RunPlan
from graft.progress import Reporter, Silent, enter
from graft.report import write_pages, write_report
from graft.runs.folder import RunFolder, check_evaluation_folder
from graft.runs.kind import is_bundle
from graft.runs.links import refuse_links
from graft.runs.prompt_record import PromptRecord
from graft.tasks.base import check_metrics
from graft.tasks.evaluation_rows import load_evaluation_rows, named_files
from graft.tasks.load import is_new_head, load_for

LESS_TO_EVALUATE = "close other programs, or give a smaller --max_length or --max_new_tokens"


def evaluate_model(
    model_path: str | os.PathLike[str],
    test_dataset: str | Path | Sequence[str | Path] | None = None,
    metric_type: str | Sequence[str] | None = None,
    output_path: str | Path | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Evaluate a run (base and tuned), a model by folder or name, or a server, on rows it has not seen.

    Args:
        model_path: a run folder, a model or adapter folder, an embedded name, a hub id, or the address of an
            OpenAI-compatible server (its model by the setting ``model_name_or_path``).
        test_dataset: one or several data files; a run's held-out rows when not given.
        metric_type: ``"accuracy"`` or several names; those that fit the data when not given.
        output_path: a folder for evaluation.json, predictions.jsonl and report.html (default: the run folder).
        settings: fields of ``EvaluateSettings``.

    Returns:
        The document of evaluation.json. Of a bundle whose adapters have different tasks: one for each, by name, under
        ``adapters``.

    Raises:
        InputError: when the model or the data are wrong.
    """
    whole = _settings(metric_type, settings)
    request = _request(test_dataset, output_path, whole)
    reporter = reporter or Silent()
    if is_url(os.fspath(model_path)):
        asked = EndpointRequest(os.fspath(model_path), request.files, request.output, whole)
        return evaluate_endpoint(asked, reporter).document
    check_no_endpoint(whole)
    with resource_errors(LESS_TO_EVALUATE):
        if is_bundle(Path(model_path)):
            refuse_without_effect(whole, OF_A_BUNDLE, "a bundle brings it itself")
            return _evaluate_bundle(Path(model_path), request, reporter)
        file = gguf_for_llama_cpp(os.fspath(model_path), request.model, request.backend, reporter)
        if file is not None:
            refuse_without_effect(whole, OF_LLAMA_CPP, "llama.cpp runs the file as it is")
            return _evaluate_gguf(file, request, reporter).document
        return _evaluate_model(os.fspath(model_path), request, reporter).document


@dataclass(frozen=True)
class _Request:
    """What to evaluate on, and how."""

    files: Any
    output: Path | None
    model: ModelSettings
    data: DataSettings
    evaluation: EvaluationSettings
    backend: str = "auto"
    adapter: str | None = None


def _settings(metrics: Any, given: dict[str, Any]) -> EvaluateSettings:
    """The settings, checked.

    Raises:
        InputError: naming all that are unknown or out of bounds.
    """
    named = {} if metrics is None else {"metrics": (metrics,) if isinstance(metrics, str) else tuple(metrics)}
    whole: EvaluateSettings = build(EvaluateSettings, given | named)
    return whole


def _request(files: Any, output: str | Path | None, whole: EvaluateSettings) -> _Request:
    folder = Path(output).expanduser() if output is not None else None
    model, data, evaluation = whole.part(ModelSettings), whole.part(DataSettings), whole.part(EvaluationSettings)
    return _Request(files, folder, model, data, evaluation, whole.backend, whole.adapter)


def _evaluate_model(name: str, request: _Request, reporter: Reporter) -> Evaluation:
    """Evaluate a run with its base, or a model."""
    if request.adapter is not None:
        raise InputError("--adapter: this is not a bundle with adapters", where=name)
    enter(reporter, "loading")
    opened = _opened(name, request, reporter)
    model = open_model(opened, request.model, request.data)
    task, label_space = model.task, model.encoding.label_space
    prompt, token = model.prompt, request.model.token
    trusted = request.model.trust_remote_code
    enter(reporter, "reading")
    by = request.evaluation.by
    rows = load_evaluation_rows(
        model.run, request.files, request.data, task, label_space, token, prompt, trusted, name, by
    )
    note_other_kind(rows, prompt, "the model", reporter)
    rows = rows.sampled(request.data.max_eval_samples)
    check_metrics(request.evaluation.metrics, task, label_space, rows.labels, request.evaluation.normalize)
    predictors = model.predictors(reporter, with_base=True, name=BASE)
    default, limit = task.default_metrics(label_space), prompt.max_new_tokens
    train = kept_training_rows(model.run, reporter)
    result = evaluated(predictors, rows, request.evaluation, reporter, default, recorded_limit=limit, train=train)
    if model.run is not None and TUNED in predictors and BASE not in predictors:
        result.document["notes"].append(_without_base(model.run))
    enter(reporter, "writing")
    if request.output is not None:
        _write(result, request.output)
    elif model.run is not None and _is_of(model.run, opened):
        _record(model.run, result, reporter)
    return result


def _without_base(run: RunFolder) -> str:
    base = run.manifest.base
    name = f"{base.name} (SHA-256 {base.sha256})" if base is not None else "which the manifest does not name"
    return f"Only the tuned model was judged: its base, {name}, is gone."


def _record(run: RunFolder, result: Evaluation, reporter: Reporter) -> None:
    """Write the result into the run, unless that would take away what is known of its base."""
    if loses_base(run, result):
        reporter.note(
            f"not recorded in {run.path}, whose evaluation has its base too; --output_path FOLDER keeps this one"
        )
        return
    record_where_possible(run, result, reporter, write_pages)


def _is_of(run: RunFolder, opened: Opened) -> bool:
    """Whether what was evaluated is the run: not its adapter over another base, which was meant so."""
    recorded = run.manifest.base
    return opened.adapter is None or recorded is None or recorded.sha256 in (None, opened.base.sha256)


def _evaluate_bundle(folder: Path, request: _Request, reporter: Reporter) -> dict[str, Any]:
    """Evaluate a bundle with each of its adapters; returns the document."""
    if request.output is not None:
        check_evaluation_folder(request.output)
    evaluation = BundleEvaluation(
        folder, request.adapter, request.files, request.model, request.data, request.evaluation, reporter
    )
    found = evaluation.run()
    if request.output is not None:
        refuse_links(request.output, found)
    for name, result in found.items() if request.output is not None else ():
        assert request.output is not None
        _write(result, request.output if len(found) == 1 else request.output / name)
    return documents(found)


def _evaluate_gguf(file: Path, request: _Request, reporter: Reporter) -> Evaluation:
    """Evaluate a GGUF file in llama.cpp."""
    if request.output is not None:
        check_evaluation_folder(request.output)
    prompt = prompt_beside(file) or PromptRecord()
    token, trusted, by = request.model.token, request.model.trust_remote_code, request.evaluation.by
    rows = load_evaluation_rows(
        None, request.files, request.data, token=token, prompt=prompt, trusted=trusted, where=str(file), by=by
    )
    note_other_kind(rows, prompt, "the model", reporter)
    rows = rows.sampled(request.data.max_eval_samples)
    predictor = LlamaCppPredictor.open(file, BASE)
    limit = prompt.max_new_tokens
    result = evaluated({BASE: predictor}, rows, request.evaluation, reporter, None, recorded_limit=limit)
    if request.output is not None:
        _write(result, request.output)
    return result


def _write(result: Evaluation, folder: Path) -> None:
    with saying_what_failed(folder):
        folder.mkdir(parents=True, exist_ok=True)
    remove_stale(folder)
    write_evaluation(RunFolder(folder), result)
    write_report(folder)


def _opened(name: str, request: _Request, reporter: Reporter) -> Opened:
    """Open the run or the model.

    Raises:
        InputError: with everything that is wrong with it, the data files and the output folder.
    """
    problems = Problems()
    if request.output is not None:
        with problems.collecting():
            check_evaluation_folder(request.output)
    listed = named_files(request.files, request.data)
    if listed is not None:
        with problems.collecting():
            find_files(listed)
    opened: Opened | None = None
    with problems.collecting():
        opened = open_by_name(name, request.model, reporter)
    problems.raise_if_any()
    assert opened is not None
    return opened


def compare_run(run: RunFolder, model: Any, plan: RunPlan, reporter: Reporter) -> None:
    """Compare base and tuned on the held-out rows of the run that was just trained, with the models in memory."""
    examples = list(plan.data.eval)
    path = run.path / "data" / "eval.jsonl"
    source = {"path": str(path), "rows": len(examples), "sha256": sha256_of(path)}
    task, encoding = plan.task, plan.encoding
    within = base_context(METHODS.get(plan.settings.method), model)
    if within is not None:
        predictors = base_and_tuned(task, encoding, model, within=within)
    else:
        before = load_for(task, encoding, plan.base, plan.settings.seed).to(model.device)
        predictors = base_and_tuned(task, encoding, model, before)
    if plan.parent is not None and plan.parent.is_tuned:
        previous = load_parent(plan.parent, task, encoding, plan.settings.seed).to(model.device)
        tuned = predictors.pop(TUNED)
        predictors |= {PREVIOUS: task.predictor(PREVIOUS, previous, encoding), TUNED: tuned}
    if is_new_head(task, encoding, plan.base):
        reporter.note("The base model has a new, untrained head, so its score is chance level.")
    rows = EvaluationRows(examples, plan.data.mapping.labels, source, plan.data.mapping.kind)
    pairs = [(PREVIOUS, TUNED), (BASE, TUNED)] if PREVIOUS in predictors else None
    default = task.default_metrics(encoding.label_space)
    result = evaluated(predictors, rows, plan.settings, reporter, default, pairs, train=plan.data.train)
    record(run, result)
    if is_probed(plan):
        probe_run(run, plan, lambda: predictors[BASE], predictors[TUNED], reporter)


def probe_alone(run: RunFolder, model: Any, plan: RunPlan, reporter: Reporter) -> None:
    """Ask the run that was just trained neutral prompts, where it is not compared with its base."""
    if not is_probed(plan):
        return
    enter(reporter, "evaluating")
    task, encoding = plan.task, plan.encoding
    within = base_context(METHODS.get(plan.settings.method), model)

    def base() -> Predictor:
        """The base: the tuned model without its adapter, or loaded again."""
        if within is not None:
            return task.predictor(BASE, model, encoding, within)
        return task.predictor(BASE, load_for(task, encoding, plan.base, plan.settings.seed).to(model.device), encoding)

    probe_run(run, plan, base, task.predictor(TUNED, model, encoding), reporter)
