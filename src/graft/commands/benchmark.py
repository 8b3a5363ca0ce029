"""``graft benchmark``: tasks of lm-evaluation-harness, base and tuned on the same rows, differences paired by row."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from graft.commands.failures import resource_errors
from graft.commands.open_predictors import BASE, TUNED, adapters_of, open_bundle, open_model_by_name
from graft.config import BenchmarkSettings, ModelSettings, build
from graft.errors import InputError, Problems
from graft.evaluation.benchmark.harness import harness_version
from graft.evaluation.benchmark.judge import Criteria, Judged, judge
from graft.evaluation.benchmark.tasks import LoadedTasks, find_tasks
from graft.evaluation.store import add_section
from graft.files import ReadOnlyError, saying_what_failed, write_whole
from graft.inference.predictor import Predictor, TokenPredictor
from graft.progress import Reporter, Silent, enter
from graft.report import write_pages
from graft.runs.evaluation_document import read_evaluation
from graft.runs.folder import BusyError, RunFolder, check_evaluation_folder
from graft.runs.kind import is_bundle, is_run
from graft.runs.links import LinkError, refuse_links
from graft.runs.record import plain_values

LESS_TO_JUDGE = "close other programs, or give a smaller --max_length"


def benchmark_models(
    names: Sequence[str | os.PathLike[str]], reporter: Reporter | None = None, **settings: Any
) -> dict[str, Any]:
    """Ask a run (base and tuned), and further models and bundles, the tasks of a benchmark.

    Args:
        names: A run, a model or a bundle; those after the first are asked the same rows.
        reporter: Shows notes and progress.
        settings: Fields of ``BenchmarkSettings``.

    Returns:
        ``benchmarks`` of evaluation.json, with what these tasks gave.

    Raises:
        MissingExtra: If lm-evaluation-harness is not installed.
        InputError: If a setting, a model or a task is wrong.
    """
    whole: BenchmarkSettings = build(BenchmarkSettings, settings)
    reporter = reporter or Silent()
    models = [os.fspath(name) for name in names]
    criteria = _checked(models, whole)
    enter(reporter, "reading")
    named, manager = find_tasks(whole.tasks or (), whole.trust_remote_code)
    tasks = LoadedTasks(named, manager, reporter)
    try:
        with resource_errors(LESS_TO_JUDGE):
            predictors = _opened(models, whole, reporter)
            enter(reporter, "evaluating")
            found = _asked(predictors, tasks, criteria, whole, reporter)
        files = {one.spec.get("task"): one.file.name for one in named if one.file and isinstance(one.spec, dict)}
        document = _document(found, tasks, criteria, whole, files)
        samples = {task: {model: judged.samples[task] for model, judged in found.items()} for task in tasks.tasks}
    finally:
        tasks.close()
    enter(reporter, "writing")
    _recorded(models[0], document, samples, whole.output_path, reporter)
    return document


def _checked(models: Sequence[str], settings: BenchmarkSettings) -> Criteria:
    """The criteria.

    Raises:
        InputError: With everything that is wrong with the settings.
    """
    problems = Problems()
    if not models:
        problems.add("no run or model is given", remedy="graft benchmark RUN --tasks arc_easy,mine.yaml")
    if not settings.tasks:
        remedy = "--tasks arc_easy,mine.yaml; graft benchmark --list names the tasks of the harness"
        problems.add("no tasks are given", "--tasks", remedy)
    multiturn = settings.fewshot_as_multiturn
    if multiturn and not settings.apply_chat_template:
        problems.add("--fewshot_as_multiturn needs --apply_chat_template", remedy="add --apply_chat_template")
    if settings.limit is not None and settings.limit > 1 and settings.limit != int(settings.limit):
        problems.add(f"--limit is {settings.limit}: give a number of rows, or a share below 1", "--limit")
    if settings.output_path is not None:
        with problems.collecting():
            check_evaluation_folder(settings.output_path)
    problems.raise_if_any()
    return Criteria(
        settings.num_fewshot,
        settings.limit,
        settings.seed,
        settings.apply_chat_template,
        settings.apply_chat_template if multiturn is None else multiturn,
        settings.system_instruction,
        settings.gen_kwargs,
        settings.confirm_run_unsafe_code,
    )


def _opened(models: Sequence[str], settings: BenchmarkSettings, reporter: Reporter) -> dict[str, TokenPredictor]:
    """Load the models: base and tuned of a run, what a bundle has, and others by their folder's name."""
    enter(reporter, "loading")
    found: dict[str, TokenPredictor] = {}
    for place, name in enumerate(models):
        for role, predictor in _predictors(name, settings if not place else settings.part(BenchmarkSettings), reporter):
            key = role if not place and role in (BASE, TUNED) else _free(_named(name, role), found)
            if not isinstance(predictor, TokenPredictor):
                what = "this model writes no text, and a benchmark asks for text and its likelihood"
                raise InputError(what, where=name, remedy=f"graft evaluate {name}")
            predictor.name = key
            found[key] = predictor
    return found


def _predictors(name: str, settings: BenchmarkSettings, reporter: Reporter) -> list[tuple[str, Predictor]]:
    """The predictors of one model with their roles."""
    trusted = settings.trust_remote_code
    if is_bundle(Path(name)):
        listed = adapters_of(Path(name))
        return [(role, one) for role, one in open_bundle(Path(name), listed, trusted).items()]
    opened = open_model_by_name(name, settings.part(ModelSettings), reporter)
    found = opened.predictors(reporter, with_base=True, name="model")
    return list(found.items())


def _named(name: str, role: str) -> str:
    stem = Path(name).name or name
    return stem if role in ("model", TUNED) else f"{stem} {role}"


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    return free


def _asked(
    predictors: Mapping[str, TokenPredictor],
    tasks: LoadedTasks,
    criteria: Criteria,
    settings: BenchmarkSettings,
    reporter: Reporter,
) -> dict[str, Judged]:
    from graft.evaluation.benchmark.language_model import PredictorLM

    found = {}
    for name, predictor in predictors.items():
        if criteria.apply_chat_template and not getattr(predictor.tokenizer, "chat_template", None):
            raise InputError("the tokenizer has no chat template", where=name, remedy="omit --apply_chat_template")
        found[name] = judge(PredictorLM(predictor, reporter, settings.max_length), tasks.loaded, criteria)
    has_template = any(getattr(each.tokenizer, "chat_template", None) for each in predictors.values())
    if has_template and not criteria.apply_chat_template:
        reporter.note("questions are put as plain text; --apply_chat_template puts them as the model's conversations")
    return found


def _document(
    found: Mapping[str, Judged],
    tasks: LoadedTasks,
    criteria: Criteria,
    settings: BenchmarkSettings,
    files: Mapping[Any, str],
) -> dict[str, Any]:
    from graft.evaluation.benchmark.figures import task_figures
    from graft.evaluation.benchmark.rows_file import rows_file

    names = list(found)
    pairs = [(names[0], names[1])] if len(names) > 1 else []
    pairs += [(names[1] if TUNED in names else names[0], name) for name in names[2:]]
    first = found[names[0]]
    listed: dict[str, Any] = {}
    for name, task in tasks.tasks.items():
        samples = {model: judged.samples[name] for model, judged in found.items()}
        rows = len({sample["doc_id"] for sample in samples[names[0]]})
        listed[name] = {
            "file": files.get(name, ""),
            "version": str(first.versions.get(name, "")),
            "harness": harness_version(),
            "rows": rows,
            "of": first.rows[name],
            "num_fewshot": int(first.shots.get(name) or 0),
            "settings": criteria.record(),
            **task_figures(task, samples, pairs, settings.bootstrap_samples),
            "samples": rows_file(name),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
    return {"tasks": plain_values(listed)}


def _recorded(
    name: str, document: dict[str, Any], samples: Mapping[str, Any], output: Path | None, reporter: Reporter
) -> None:
    """Write the result into the output folder, or into the run; other tasks that were asked before stay."""
    if output is not None:
        with saying_what_failed(output):
            output.mkdir(parents=True, exist_ok=True)
        _write(RunFolder(output), document, samples)
    elif is_run(Path(name)):
        run = RunFolder.open(Path(name))
        try:
            with run.lock():
                _write(run, document, samples)
                write_pages(run.path)
        except (ReadOnlyError, BusyError, LinkError) as error:
            reporter.note(f"nothing was recorded in {run.path}: {error.problems[0].what}")
    else:
        reporter.note("nothing was recorded, because this is no run; --output_path FOLDER keeps the results")


def _write(run: RunFolder, document: dict[str, Any], samples: Mapping[str, Any]) -> None:
    from graft.evaluation.benchmark.rows_file import FOLDER, rows_lines

    refuse_links(run.path, (FOLDER,))
    (run.path / FOLDER).mkdir(exist_ok=True)
    for task, by_model in samples.items():
        file = run.path / document["tasks"][task]["samples"]
        write_whole(file, rows_lines(by_model), private=True)
    before = read_evaluation(run.path)
    known = before.document().get("benchmarks") if before is not None else None
    tasks = {**((known or {}).get("tasks") or {}), **document["tasks"]}
    add_section(run, "benchmarks", json.loads(json.dumps({"tasks": tasks}, default=lambda one: one.document())))
