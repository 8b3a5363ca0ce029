"""``graft evaluate http://…``: a model behind a server on the same rows, by the same metrics, beside a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from graft.commands.endpoint_rows import as_prompts, text_of_messages
from graft.commands.evaluation import evaluated
from graft.commands.open_predictors import BASE, PREVIOUS, TUNED
from graft.commands.served import api_of, check_body, check_json, endpoint_of, mask_secret_fields, say_what_is_sent
from graft.config import DataSettings, EndpointSettings, EvaluateSettings, EvaluationSettings, ModelSettings
from graft.errors import InputError, Problems
from graft.evaluation.answered_label import NO_LABEL
from graft.evaluation.compare import Evaluation
from graft.evaluation.metrics import default_metrics, get_metric, select_metrics
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.store import write_evaluation
from graft.export.cached_predictions import NotRecorded, RecordedColumns, recorded_columns, refuse_code_of_metrics
from graft.inference.endpoint import Endpoint, EndpointPredictor
from graft.inference.kept_answers import ANSWERS, KeptAnswers
from graft.inference.predictor import Predictor
from graft.inference.server_url import ServerUrl
from graft.progress import Reporter
from graft.report import write_report
from graft.runs.evaluation_document import EndpointRecord
from graft.runs.folder import RunFolder, check_evaluation_folder
from graft.runs.kind import FolderKind, folder_kind
from graft.runs.trust import refuse_code
from graft.tasks.evaluation_rows import load_evaluation_rows
from graft.tasks.label_space import LabelSpace
from graft.tasks.select import get_task

NO_EFFECT = (
    *("adapter_path", "adapter", "backend", "base_model_name_or_path", "allow_base_mismatch", "task"),
    *("chat_template", "trust_remote_code", "model_revision", "max_length"),
)
"""Settings of a model that is loaded; a server has loaded its own. With a run, its code may be trusted."""
ENDPOINT = "endpoint"


@dataclass(frozen=True)
class EndpointRequest:
    """A server to evaluate.

    Attributes:
        url: Its address.
        files: The data files, or None for the rows of a run.
        output: Where the answers and the evaluation are written, if anywhere.
        settings: How it is asked, and what for.
    """

    url: str
    files: Any
    output: Path | None
    settings: EvaluateSettings


def check_no_endpoint(settings: EvaluateSettings) -> None:
    """Check that settings of a server are given only for a server.

    Raises:
        InputError: If settings of a server are given, and a model is evaluated that is none.
    """
    given = [name for name in EndpointSettings.model_fields if name in settings.model_fields_set]
    if given:
        options = ", ".join(f"--{name}" for name in given)
        what = f"{options} applies only to a server, and the model is not an http address"
        raise InputError(what, remedy="graft evaluate http://HOST:PORT --model NAME …")


def evaluate_endpoint(request: EndpointRequest, reporter: Reporter) -> Evaluation:
    """Evaluate the model of a server, beside what a run recorded.

    Raises:
        InputError: If a setting is wrong, the rows cannot be read, or the server cannot be reached or lacks the model.
        GraftError: If a row fails after all tries; with an output folder the answers so far are kept.
        Interrupted: If the user stops it.
    """
    settings = request.settings
    endpoint, run = _checked(request)
    data = settings.part(DataSettings)
    rows = load_evaluation_rows(run, request.files, data, token=settings.token, by=settings.by)
    rows = rows.sampled(settings.max_eval_samples)
    asked = replace(rows, examples=as_prompts(rows, run, data))
    columns = recorded_columns(run, rows.examples, asked.examples) if run is not None else None
    model = endpoint.model_name(settings.model_name_or_path)
    if run is not None and columns is None:
        reporter.note(f"{run.path} has no evaluation of these rows; graft evaluate {run.path} makes one")
    chosen, lost = _evaluation_settings(settings, asked, columns, run)
    kept = KeptAnswers(None if request.output is None else request.output / ANSWERS)
    render = text_of_messages(run, endpoint.api, asked.examples, settings.part(ModelSettings))
    predictor = EndpointPredictor(_name(model, columns), model, endpoint, kept, render)
    _say_what_is_sent(predictor, asked, request.output, reporter)
    recorded: dict[str, Predictor] = {one.name: one for one in columns.predictors} if columns else {}
    everyone: dict[str, Predictor] = {**recorded, predictor.name: predictor}
    result = _judged(everyone, asked, chosen, reporter, list(recorded))
    result.document["endpoint"] = _record(predictor, result, lost, columns).document()
    for note in result.document["endpoint"]["notes"]:
        reporter.note(note)
    if request.output is not None:
        write_evaluation(RunFolder(request.output), result)
        write_report(request.output)
    return result


def _checked(request: EndpointRequest) -> tuple[Endpoint, RunFolder | None]:
    """The server and the run.

    Raises:
        InputError: With everything that is wrong with the settings.
    """
    settings, problems = request.settings, Problems()
    for name in NO_EFFECT:
        if name in settings.model_fields_set and (name != "trust_remote_code" or settings.run is None):
            problems.add(f"--{name} has no effect on a server, which has loaded its own model", remedy="omit it")
    with problems.collecting():
        check_json("chat_template_kwargs", settings.chat_template_kwargs)
    with problems.collecting():
        check_body(settings.endpoint_body)
    if request.output is not None:
        with problems.collecting():
            _check_output(request.output)
    run: RunFolder | None = None
    with problems.collecting():
        run = RunFolder.open(settings.run) if settings.run is not None else None
    endpoint: Endpoint | None = None
    with problems.collecting():
        endpoint = _endpoint(request.url, settings)
    problems.raise_if_any()
    assert endpoint is not None
    return endpoint, run


def _endpoint(url: str, settings: EvaluateSettings) -> Endpoint:
    server = ServerUrl.parse(url)
    if settings.chat_template_kwargs and api_of(server, settings) == "completions" and settings.run is None:
        what = "--chat_template_kwargs has no effect: /completions takes texts, which no chat template makes"
        raise InputError(what, remedy="omit it, or --endpoint_api chat, or --run RUN")
    return endpoint_of(server, settings, settings.chat_template_kwargs)


def _check_output(folder: Path) -> None:
    """Check that the folder can take an evaluation.

    Raises:
        InputError: If the folder is something else, whose evaluation would be lost.
    """
    check_evaluation_folder(folder)
    kind = folder_kind(folder)
    if kind in (FolderKind.RUN, FolderKind.BUNDLE, FolderKind.SEARCH, FolderKind.DATA, FolderKind.MODEL):
        remedy = "choose another --output_path"
        raise InputError(f"the output folder is {kind.value}", where=str(folder), remedy=remedy)


def _evaluation_settings(
    whole: EvaluateSettings, rows: EvaluationRows, columns: RecordedColumns | None, run: RunFolder | None
) -> tuple[EvaluationSettings, list[str]]:
    """The metrics and the limit: as given, else those of the recorded evaluation; and the metrics that are left out.

    Raises:
        InputError: If a metric is unknown or does not fit, or is code that the run names and the user does not trust.
    """
    settings = whole.part(EvaluationSettings)
    update: dict[str, Any] = {}
    if columns is not None and settings.max_new_tokens is None:
        update["max_new_tokens"] = columns.max_new_tokens
    lost: list[str] = []
    if settings.metrics is None:
        if run is not None and columns is not None and not whole.trust_remote_code:
            refuse_code_of_metrics(columns.metrics, run)
        trusted = whole.trust_remote_code
        names, lost = _without_likelihoods(
            columns.metrics if columns is not None else _default_metrics(rows, run, trusted)
        )
        update["metrics"] = tuple(names or _without_likelihoods(_default_metrics(rows, run, trusted))[0])
    chosen = select_metrics(update.get("metrics", settings.metrics), rows.references, rows.labels)
    compares = any(metric.compares_text for metric in chosen)
    if columns is not None and compares and "normalize" not in settings.model_fields_set:
        update["normalize"] = columns.normalize
    return settings.model_copy(update=update), lost


def _without_likelihoods(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The metrics that a server allows, and the others."""
    lost = [name for name in names if get_metric(name).needs == "likelihood"]
    return [name for name in names if name not in lost], lost


def _default_metrics(rows: EvaluationRows, run: RunFolder | None, trusted: bool) -> Sequence[str]:
    """Those that fit the rows; of a run with several labels a row those of its task."""
    if run is not None and rows.kind == "text/labels" and run.manifest.task is not None:
        space = LabelSpace.from_record(run.manifest.task.label_space)
        name = run.manifest.task.name
        refuse_code(name, str(run.path), trusted, what="a task", instead="--metrics")
        found = get_task(name).default_metrics(space)
        if found:
            return found
    return default_metrics(rows.references, rows.labels)


def _name(model: str, columns: RecordedColumns | None) -> str:
    """The predictor's name: the last part of the model's, unless another has it."""
    name = PurePath(model.replace("\\", "/")).name or ENDPOINT
    taken = {one.name for one in columns.predictors} if columns else set()
    return ENDPOINT if name in {BASE, TUNED, PREVIOUS, *taken} else name


def _judged(
    predictors: Mapping[str, Predictor],
    rows: EvaluationRows,
    settings: EvaluationSettings,
    reporter: Reporter,
    recorded: Sequence[str],
) -> Evaluation:
    """The evaluation; the first difference is from the tuned model to the server's.

    Raises:
        InputError: If a metric needs what the run did not record.
    """
    (name,) = set(predictors) - set(recorded)
    pairs = [(one, name) for one in reversed(recorded)]
    if {BASE, TUNED} <= set(recorded):
        pairs = [(TUNED, name), (BASE, TUNED)]
    try:
        return evaluated(predictors, rows, settings, reporter, None, pairs)
    except NotRecorded as error:
        named = ", ".join(settings.metrics or ())
        what = f"the run's evaluation did not record what {named} need: {error}"
        raise InputError(what, where="--metrics", remedy=f"graft evaluate RUN --metrics {named}") from error


def _say_what_is_sent(
    predictor: EndpointPredictor, rows: EvaluationRows, output: Path | None, reporter: Reporter
) -> None:
    say_what_is_sent(predictor.model, predictor.endpoint.server, f"{len(rows.examples):,} rows", reporter)
    if output is None:
        reporter.note("--output_path DIR keeps the answers as they come, so that an evaluation that stops can go on")


def _record(
    predictor: EndpointPredictor, result: Evaluation, lost: Sequence[str], columns: RecordedColumns | None
) -> EndpointRecord:
    """What evaluation.json says of the server."""
    name, answered, endpoint = predictor.name, predictor.answered, predictor.endpoint
    most = endpoint.limit(result.document["max_new_tokens"])
    chosen = [line["labels"][name] for line in result.predictions if name in line.get("labels", {})]
    cut = sum(record.finish_reason == "length" for record in answered)
    none = chosen.count(NO_LABEL) if chosen else None
    total = f"{len(answered):,} answers"
    notes = []
    if cut:
        at = "the server's own limit" if most is None else f"{most:,} tokens; --max_new_tokens allows longer ones"
        notes.append(f"{cut:,} of {total} were cut at {at}")
    if columns is not None and columns.max_new_tokens not in (None, most):
        limit = "without a limit" if most is None else f"of up to {most:,} tokens"
        notes.append(f"answers of {name} {limit} are compared with recorded ones of up to {columns.max_new_tokens:,}")
    if none is not None:
        notes.append(f"the class of {name} is the label that it answers; {none:,} of {total} are none of the labels")
        if len(result.document["predictors"]) > 1:
            notes.append("the class of the other models is the most likely label; exact_match judges all by answers")
    if lost:
        notes.append(f"left out: {', '.join(lost)}, because a server gives no likelihoods of given texts")
    variables = {"chat_template_kwargs": dict(endpoint.template_kwargs)} if endpoint.template_kwargs else {}
    return EndpointRecord(
        name=name,
        url=endpoint.server.base,
        model=predictor.model,
        api=", ".join(predictor.interfaces),
        body=mask_secret_fields({**variables, **endpoint.body}),
        cut=cut,
        no_label=none,
        prompt_tokens=_sum([record.prompt_tokens for record in answered]),
        completion_tokens=_sum([record.completion_tokens for record in answered]),
        notes=notes,
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
