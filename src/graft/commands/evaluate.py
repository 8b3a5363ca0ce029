"""``graft evaluate``: base and tuned on the same rows, judged by the same code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graft.commands.open_predictors import (
    BASE,
    adapters_of,
    base_and_tuned,
    default_metrics_of,
    open_bundle,
    open_model,
)
from graft.config import DataSettings, EvaluateSettings, EvaluationSettings, ModelSettings, build
from graft.data.sources import find_files, sha256_of
from graft.errors import Problems
from graft.evaluation.compare import Evaluation, evaluate
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.store import record, write_evaluation
from graft.export.bundle import is_bundle
from graft.inference.predictor import Predictor
from graft.methods import METHODS
from graft.methods.recorded import base_context
from graft.models.base import Opened, open_run_or_model
from graft.planning.plan import RunPlan
from graft.progress import Reporter, Silent
from graft.report import write_pages
from graft.runs.folder import RunFolder, check_folder
from graft.runs.manifest import read_bundle
from graft.tasks.base import check_metrics
from graft.tasks.evaluation_rows import load_evaluation_rows, named_files
from graft.tasks.load import is_new_head, load_for


def evaluate_model(
    model_path: str | os.PathLike[str],
    test_dataset: str | Path | Sequence[str | Path] | None = None,
    metric_type: str | Sequence[str] | None = None,
    output_path: str | Path | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Evaluate a run (base and tuned), a model folder, or a model by name, on rows it has not seen.

    Args:
        model_path: a run folder, a model or adapter folder, an embedded name, or a hub id.
        test_dataset: one or several data files; a run's held-out rows when not given.
        metric_type: ``"accuracy"`` or several names; those that fit the data when not given.
        output_path: a folder for evaluation.json and predictions.jsonl (default: the run folder).
        settings: fields of ``EvaluateSettings``.

    Returns:
        The document of evaluation.json.

    Raises:
        InputError: when the model or the data are wrong.
    """
    reporter = reporter or Silent()
    split = _split_settings(settings)
    chosen: EvaluationSettings = split[EvaluationSettings].model_copy(
        update={"metrics": (metric_type,) if isinstance(metric_type, str) else metric_type}
        if metric_type is not None
        else {}
    )
    if is_bundle(Path(model_path)):
        return _evaluate_bundle(Path(model_path), test_dataset, chosen, split, output_path, reporter)
    opened = _opened(os.fspath(model_path), test_dataset, output_path, split, reporter)
    model = open_model(opened, split[ModelSettings], split[DataSettings])
    run, task, encoding = model.run, model.task, model.encoding
    token = split[ModelSettings].token
    rows = load_evaluation_rows(run, test_dataset, split[DataSettings], task, encoding.label_space, token)
    rows = rows.sampled(split[DataSettings].max_eval_samples)
    check_metrics(chosen.metrics, task, encoding.label_space, rows.labels)
    predictors = list(model.predictors(reporter, with_base=True, name="base").values())
    result = _evaluate(predictors, rows, chosen, reporter, task.default_metrics(encoding.label_space))
    if output_path is not None:
        folder = Path(output_path)
        folder.mkdir(parents=True, exist_ok=True)
        write_evaluation(RunFolder(folder), result)
    elif run is not None:
        record(run, result)
        write_pages(run.path)
    return result.document


def _evaluate_bundle(
    folder: Path, files: Any, settings: EvaluationSettings, split: dict[type, Any], output: Any, reporter: Reporter
) -> dict[str, Any]:
    """Evaluate a bundle with each of its adapters; its run has the rows, and the form of other rows."""
    made_from, data = read_bundle(folder).run, split[DataSettings]
    run = RunFolder.open(Path(made_from)) if made_from and Path(made_from).is_dir() else None
    rows = load_evaluation_rows(run, files, data).sampled(data.max_eval_samples)
    base_first = sorted(adapters_of(folder), key=lambda name: name != BASE)
    predictors = open_bundle(folder, base_first, split[ModelSettings].trust_remote_code)
    result = _evaluate(list(predictors.values()), rows, settings, reporter, default_metrics_of(folder))
    if output is not None:
        Path(output).mkdir(parents=True, exist_ok=True)
        write_evaluation(RunFolder(Path(output)), result)
    return result.document


def _opened(
    name: str | Path, files: Any, output_path: str | Path | None, split: dict[type, Any], reporter: Reporter
) -> Opened:
    """The run or model; what is wrong with it, with the data files and with the output folder is said at once."""
    problems = Problems()
    if output_path is not None:
        with problems.collecting():
            check_folder(Path(output_path))
    listed = named_files(files, split[DataSettings])
    if listed is not None:
        with problems.collecting():
            find_files(listed)
    opened: Opened | None = None
    with problems.collecting():
        opened = open_run_or_model(name, reporter, split[ModelSettings])
    problems.raise_if_any()
    assert opened is not None
    return opened


def compare_run(run: RunFolder, model: Any, plan: RunPlan, reporter: Reporter) -> None:
    """Base and tuned on the held-out rows of the run that was just trained, without loading anything again."""
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
    if is_new_head(task, encoding, plan.base):
        reporter.note("The base's head is a new one and was not trained: it guesses, and the tuned model must not.")
    rows = EvaluationRows(examples, plan.data.mapping.labels, source, plan.data.mapping.kind)
    result = _evaluate(
        list(predictors.values()), rows, plan.settings, reporter, task.default_metrics(encoding.label_space)
    )
    record(run, result)


def _evaluate(
    predictors: Sequence[Predictor],
    rows: EvaluationRows,
    settings: EvaluationSettings,
    reporter: Reporter,
    usual: tuple[str, ...] | None,
) -> Evaluation:
    return evaluate(
        predictors,
        rows,
        metrics=usual if settings.metrics is None else settings.metrics,
        bootstrap_samples=settings.bootstrap_samples,
        max_new_tokens=settings.max_new_tokens,
        reporter=reporter,
    )


def _split_settings(given: dict[str, Any]) -> dict[type, Any]:
    whole = build(EvaluateSettings, given)
    chosen = {name: getattr(whole, name) for name in whole.model_fields_set}
    return {
        cls: cls(**{name: value for name, value in chosen.items() if name in cls.model_fields})
        for cls in (ModelSettings, DataSettings, EvaluationSettings)
    }
