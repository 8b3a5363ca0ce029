"""``graft benchmark``: tasks of lm-evaluation-harness, base and tuned on the same rows, differences paired by row."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.commands.benchmark_models import BenchmarkModels, check_endpoint
from graft.commands.failures import resource_errors
from graft.commands.open_predictors import TUNED
from graft.config import BenchmarkSettings, build
from graft.errors import Problems
from graft.evaluation.benchmark.document import document_of
from graft.evaluation.benchmark.judge import Criteria, judge
from graft.evaluation.benchmark.tasks import LoadedTasks, find_tasks
from graft.evaluation.store import add_section
from graft.files import ReadOnlyError, saying_what_failed, write_whole
from graft.progress import Reporter, Silent, enter
from graft.report import write_pages
from graft.runs.evaluation_document import read_evaluation
from graft.runs.folder import BusyError, RunFolder, check_evaluation_folder
from graft.runs.kind import is_run
from graft.runs.links import LinkError, refuse_links

LESS_TO_JUDGE = "close other programs, or give a smaller --max_length"


def benchmark_models(
    names: Sequence[str | os.PathLike[str]], reporter: Reporter | None = None, **settings: Any
) -> dict[str, Any]:
    """Ask a run (base and tuned), and further models and bundles, the tasks of a benchmark.

    Args:
        names: A run, a model or a bundle; those after the first are asked the same rows. None is needed beside the
            setting ``endpoint``.
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
            opened = BenchmarkModels(tuple(models), whole, reporter).opened()
            enter(reporter, "evaluating")
            found = {name: judge(model, tasks.loaded, criteria) for name, model in opened.items()}
        files = {one.name: one.file.name for one in named if one.file is not None}
        pairs = _pairs(list(found))
        document = document_of(found, tasks.loaded, criteria, whole.bootstrap_samples, pairs, files)
        samples = {task: {model: judged.samples[task] for model, judged in found.items()} for task in tasks.tasks}
    finally:
        tasks.close()
    enter(reporter, "writing")
    _recorded(models[0] if models else None, document, samples, whole.output_path, reporter)
    return document


def _checked(models: Sequence[str], settings: BenchmarkSettings) -> Criteria:
    """The criteria.

    Raises:
        InputError: With everything that is wrong with the settings.
    """
    problems = Problems()
    if settings.endpoint is not None:
        with problems.collecting():
            check_endpoint(settings.endpoint, settings)
    elif not models:
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


def _pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """The differences: from base to tuned, and from the tuned model, or the first one, to each further one."""
    first = [(names[0], names[1])] if len(names) > 1 else []
    return first + [(TUNED if TUNED in names[:2] else names[0], name) for name in names[2:]]


def _recorded(
    name: str | None, document: dict[str, Any], samples: Mapping[str, Any], output: Path | None, reporter: Reporter
) -> None:
    """Write the result into the output folder, or into the run; other tasks that were asked before stay."""
    if output is not None:
        with saying_what_failed(output):
            output.mkdir(parents=True, exist_ok=True)
        _write(RunFolder(output), document, samples)
    elif name is not None and is_run(Path(name)):
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
