"""``graft evaluate``: base and tuned on the same rows, judged by the same code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graft.data.example import Example, Origin
from graft.data.load import find_files, sha256_of
from graft.data.prepare import read_examples
from graft.data.split import sample
from graft.deploy.bundle import is_bundle, read_manifest
from graft.deploy.predictor import OnnxPredictor
from graft.errors import InputError, Problems
from graft.evaluation.compare import Evaluation, evaluate
from graft.evaluation.predictors import Predictor
from graft.evaluation.table import headline
from graft.methods.peft_folder import load_adapter
from graft.models.base import Opened, load_tokenizer, open_run_or_model, untuned
from graft.runs import RunFolder, check_folder
from graft.settings import DataSettings, EvaluateSettings, EvaluationSettings, ModelSettings, build
from graft.tasks.base import Codec, Head, Task, check_metrics, longest_row
from graft.tasks.choose import get_task, task_of
from graft.tasks.models import is_new_head, load_for, on_the_gpu
from graft.workflow.finetune import Silent, Watcher, write_pages
from graft.workflow.plan import RunPlan

SEED = 42
"""Of the rows drawn and the resamples: a second evaluation says the same."""


def evaluate_model(
    model_path: str | Path,
    test_dataset: str | Path | Sequence[str | Path] | None = None,
    metric_type: str | Sequence[str] | None = None,
    output_path: str | Path | None = None,
    watcher: Watcher | None = None,
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
    watcher = watcher or Silent()
    split = _split_settings(settings)
    chosen: EvaluationSettings = split[EvaluationSettings].model_copy(
        update={"metrics": (metric_type,) if isinstance(metric_type, str) else metric_type}
        if metric_type is not None
        else {}
    )
    if is_bundle(Path(model_path)):
        return _evaluate_bundle(Path(model_path), test_dataset, chosen, split[DataSettings], output_path, watcher)
    opened = _opened(model_path, test_dataset, output_path, split, watcher)
    run = RunFolder.open(opened.run) if opened.run else None
    task, codec = task_and_codec(opened, split[ModelSettings], split[DataSettings])
    token = split[ModelSettings].token
    found = rows_to_judge(run, test_dataset, split[DataSettings], task, codec.head, token)
    examples, labels, source = _no_more(found, split[DataSettings].max_eval_samples)
    check_metrics(chosen.metrics, task, codec.head, labels)
    with _predictors(opened, run, task, codec, watcher) as predictors:
        result = _evaluate(predictors, examples, labels, source, chosen, watcher, task.metrics(codec.head))
    if output_path is not None:
        folder = Path(output_path)
        folder.mkdir(parents=True, exist_ok=True)
        _write(RunFolder(folder), result)
    elif run is not None:
        record(run, result)
        write_pages(run.path)
    return result.document


def _evaluate_bundle(
    folder: Path, files: Any, settings: EvaluationSettings, data: DataSettings, output: Any, watcher: Watcher
) -> dict[str, Any]:
    """A bundle's adapters, each beside the others; of the run it was made from come the rows and their shape."""
    manifest = read_manifest(folder)
    made_from = manifest.get("run")
    run = RunFolder.open(Path(made_from)) if made_from and Path(made_from).is_dir() else None
    examples, labels, source = _no_more(rows_to_judge(run, files, data), data.max_eval_samples)
    names: list[str | None] = [*(["base", *manifest["adapters"]] if manifest.get("adapters") else [None])]
    result = _evaluate(
        [OnnxPredictor.open(folder, name) for name in names], examples, labels, source, settings, watcher, None
    )
    if output is not None:
        Path(output).mkdir(parents=True, exist_ok=True)
        _write(RunFolder(Path(output)), result)
    return result.document


def _opened(
    name: str | Path, files: Any, output_path: str | Path | None, split: dict[type, Any], watcher: Watcher
) -> Opened:
    """The run or model; what is wrong with it, with the data files and with the output folder is said at once."""
    problems = Problems()
    if output_path is not None:
        with problems.collecting():
            check_folder(Path(output_path))
    listed = _listed(files, split[DataSettings])
    if listed is not None:
        with problems.collecting():
            find_files(listed)
    opened: Opened | None = None
    with problems.collecting():
        opened = open_run_or_model(name, watcher.note, split[ModelSettings])
    problems.raise_if_any()
    assert opened is not None
    return opened


def _listed(files: Any, given: DataSettings) -> tuple[str, ...] | None:
    """The data files that are named, by argument or setting."""
    if files is None:
        return given.data_files
    return tuple(str(file) for file in ([files] if isinstance(files, (str, Path)) else files))


def task_and_codec(opened: Opened, model: ModelSettings, data: DataSettings) -> tuple[Task, Codec]:
    """What a run or a model does, and its tokens, labels and limits.

    Raises:
        InputError: when ``model.task`` names something it cannot do.
    """
    manifest = RunFolder.open(opened.run).manifest if opened.run else {}
    task, head = task_of(opened, manifest, model.task)
    tokenizer = load_tokenizer(opened.base, model.chat_template)
    recorded = (manifest.get("task") or {}).get("max_length")
    longest = recorded if recorded and data.max_length is None else longest_row(data, tokenizer, opened.base)
    return task, Codec(tokenizer, head, longest)


def compare_run(run: RunFolder, model: Any, plan: RunPlan, watcher: Watcher) -> None:
    """Base and tuned on the held-out rows of the run that was just trained, without loading anything again."""
    examples = plan.data.eval
    path = run.path / "data" / "eval.jsonl"
    source = {"path": str(path), "rows": len(examples), "sha256": sha256_of(path)}
    task, codec = plan.task, plan.codec
    if (run.path / "adapter").is_dir():
        tuned = task.predictor("tuned", model, codec, adapter=True)
        base = task.predictor("base", model, codec, adapter=False)
    else:
        tuned = task.predictor("tuned", model, codec)
        before = load_for(task, codec, plan.base, plan.settings.seed).to(model.device)
        base = task.predictor("base", before, codec)
    if is_new_head(task, codec, plan.base):
        watcher.note("The base's head is a new one and was not trained: it guesses, and the tuned model must not.")
    labels, usual = plan.data.recipe.labels, task.metrics(codec.head)
    result = _evaluate([base, tuned], examples, labels, source, plan.settings, watcher, usual)
    record(run, result)


def record(run: RunFolder, result: Evaluation) -> None:
    """Keep an evaluation in the run folder, its headline in the manifest."""
    _write(run, result)
    run.update_manifest(scores=headline(result.document))


def _write(folder: RunFolder, result: Evaluation) -> None:
    folder.write_json("evaluation.json", result.document)
    rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in result.predictions)
    folder.write_text("predictions.jsonl", rows)


def _evaluate(
    predictors: Sequence[Predictor],
    examples: Sequence[Example],
    labels: list[str] | None,
    source: dict[str, Any],
    settings: EvaluationSettings,
    watcher: Watcher,
    usual: tuple[str, ...] | None,
) -> Evaluation:
    return evaluate(
        predictors,
        examples,
        metrics=usual if settings.metrics is None else settings.metrics,
        labels=labels,
        source=source,
        bootstrap_samples=settings.bootstrap_samples,
        max_new_tokens=settings.max_new_tokens,
        seed=SEED,
        progress=watcher.advance,
    )


def _split_settings(given: dict[str, Any]) -> dict[type, Any]:
    whole = build(EvaluateSettings, given)
    chosen = {name: getattr(whole, name) for name in whole.model_fields_set}
    return {
        cls: cls(**{name: value for name, value in chosen.items() if name in cls.model_fields})
        for cls in (ModelSettings, DataSettings, EvaluationSettings)
    }


Judged = tuple[list[Example], list[str] | None, dict[str, Any], str]
"""Rows, their labels, where they are from, and of what kind they are."""


def _no_more(found: Judged, most: int | None) -> tuple[list[Example], list[str] | None, dict[str, Any]]:
    examples, labels, source, _ = found
    if most is None or len(examples) <= most:
        return examples, labels, source
    drawn, _ = sample(examples, most, SEED, labels)
    return drawn, labels, {**source, "rows": len(drawn)}


def rows_to_judge(
    run: RunFolder | None,
    files: Any,
    given: DataSettings,
    task: Task | None = None,
    head: Head | None = None,
    token: str | None = None,
) -> Judged:
    """The rows to evaluate on, shaped as the run shaped its own."""
    listed = _listed(files, given)
    if run is not None and listed is None and given.data_name is None:
        path = run.path / "data" / "eval.jsonl"
        examples = [from_row(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        if not examples:
            raise InputError("this run held out no rows", where=str(run.path), remedy="--data_files rows.jsonl")
        source = {"path": str(path), "rows": len(examples), "sha256": sha256_of(path)}
        return examples, run.manifest["data"]["labels"], source, run.manifest["data"]["kind"]
    if listed is None and given.data_name is None:
        raise InputError("no rows to evaluate on are given", remedy="--data_files rows.jsonl")
    recorded = recorded_data_settings(run) if run is not None else {}
    chosen = {name: getattr(given, name) for name in given.model_fields_set}
    update = {"data_files": listed, "data_name": given.data_name if listed is None else None}
    settings = DataSettings(**{**recorded, **chosen, **update})
    known = list(head.names) if head is not None else []
    labels = run.manifest["data"]["labels"] if run is not None else known or None
    recognise = (task or get_task("text-generation")).recognise
    read = read_examples(settings, labels, recognise=recognise, token=token)
    return read.examples, read.recipe.labels, asdict(read.source), read.recipe.kind


def recorded_data_settings(run: RunFolder) -> dict[str, Any]:
    """How the run shaped its rows: its data settings, and what was inferred for those left open."""
    where = {"data_name", "data_files", "train_split", "eval_split", "eval_data_files", "eval_share"}
    where |= {"max_train_samples", "max_eval_samples", "data_config_name"}
    names = set(DataSettings.model_fields) - where
    settings = {name: value for name, value in run.manifest["settings"].items() if name in names and value is not None}
    for inference in run.manifest["inferences"]:
        if inference["name"] in names:
            settings.setdefault(inference["name"], inference["value"])
    return settings


def from_row(row: dict[str, Any]) -> Example:
    """A line of ``data/*.jsonl`` as an example."""
    file, _, line = str(row.get("origin", ":0")).rpartition(":")
    prompt = row["prompt"] if isinstance(row["prompt"], str) else tuple(row["prompt"])
    optional: dict[str, Any] = {name: row.get(name) for name in ("label", "tools", "answer", "second")}
    if row.get("words") is not None:
        optional["words"] = tuple(row["words"])
    return Example(prompt, row["completion"], Origin(file, int(line)), **optional)


@contextmanager
def _predictors(
    opened: Opened, run: RunFolder | None, task: Task, codec: Codec, watcher: Watcher
) -> Iterator[list[Predictor]]:
    seed = int(run.manifest.get("seed") or 0) if run is not None else 0
    watcher.note(f"loading {opened.name}")
    model = load_for(task, codec, opened.base, seed)
    if opened.adapter is not None:
        model = on_the_gpu(load_adapter(model, opened.adapter))
        yield [
            task.predictor("base", model, codec, adapter=False),
            task.predictor("tuned", model, codec, adapter=True),
        ]
    elif run is not None:
        before = on_the_gpu(load_for(task, codec, untuned(opened, watcher.note), seed))
        yield [task.predictor("base", before, codec), task.predictor("tuned", on_the_gpu(model), codec)]
    else:
        yield [task.predictor("base", on_the_gpu(model), codec)]
