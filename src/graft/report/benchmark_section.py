"""The figures of ``graft benchmark`` for people: the section of the report, and tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from graft.report.figure_table import print_figures
from graft.report.format import count, interval_text, listed, probability, signed
from graft.runs.benchmark_record import BenchmarksRecord, BenchmarkTaskRecord
from graft.runs.metric_info import MetricInfo
from graft.runs.record import validate
from graft.runs.view import Difference, Estimate, RunView

CERTAIN = 0.05
"""A difference with a larger p is not shown as a gain or a loss."""


def benchmark_content(view: RunView) -> dict[str, Any] | None:
    """Return what the report's section shows; None for a run that was asked no tasks."""
    record = view.evaluation.benchmarks
    return None if record is None or not record.tasks else {"tasks": task_tables(record)}


def task_tables(record: BenchmarksRecord) -> list[dict[str, Any]]:
    """Return a table for each task: how it was asked, the headings, and a row for each metric."""
    return [
        {
            "name": name,
            "asked": _asked(task),
            "columns": ["metric", *task.predictors, *_pairs(task).values()],
            "rows": [_row(metric, task) for metric in task.metrics],
        }
        for name, task in record.tasks.items()
    ]


def print_benchmarks(document: Mapping[str, Any], console: Console) -> None:
    """Print a table for each task of ``benchmarks`` of evaluation.json."""
    for table in task_tables(validate(BenchmarksRecord, dict(document), "benchmarks")):
        rows = [(row["metric"], *(_text(cell) for cell in row["cells"])) for row in table["rows"]]
        print_figures(console, table["columns"], rows, f"{table['name']}: {table['asked']}")
        console.print()


def benchmark_sentences(record: BenchmarksRecord) -> Iterator[str]:
    """Yield the first metric of each task: ``tone_choice: acc 0.490 base, 0.804 tuned``; of a group that of all."""
    inside = {name for task in record.tasks.values() for name in task.members}
    for table in task_tables(record):
        if table["rows"] and table["name"] not in inside:
            row = table["rows"][0]
            models = record.tasks[table["name"]].predictors
            said = ", ".join(f"{cell['value']} {name}" for name, cell in zip(models, row["cells"], strict=False))
            yield f"{table['name']}: {row['metric'][:-2]} {said}"


def _text(cell: Mapping[str, str]) -> str:
    inside = ", ".join(filter(None, (cell["interval"] and f"({cell['interval']})", cell["p"])))
    return f"{cell['value']} {inside}".strip()


def _asked(task: BenchmarkTaskRecord) -> str:
    """``200 of 570 rows, 5 examples before each question, chat template``."""
    rows = f"{count(task.rows)} rows" if task.rows == task.of else f"{count(task.rows)} of {count(task.of)} rows"
    shots = f"{task.num_fewshot} example{'s' if task.num_fewshot != 1 else ''} before each question"
    settings = {name: value for name, value in task.settings.items() if name != "limit"}
    said = [name if value is True else f"{name} {listed(value)}" for name, value in settings.items()]
    return ", ".join([rows, *([shots] if task.num_fewshot else []), *said])


def _pairs(task: BenchmarkTaskRecord) -> dict[tuple[str, str], str]:
    """The differences by their models, each with its heading."""
    pairs = list(dict.fromkeys((one.before, one.after) for one in task.differences))
    return {pair: "difference" if len(pairs) == 1 else f"{pair[0]} → {pair[1]}" for pair in pairs}


def _row(name: str, task: BenchmarkTaskRecord) -> dict[str, Any]:
    arrow = "↓" if task.metrics[name].get("direction") == "lower" else "↑"
    metric = MetricInfo(name=name, direction="lower" if arrow == "↓" else "higher")
    cells = [_cell(metric, figures[name]) for figures in task.predictors.values()]
    by_pair = {(one.before, one.after): one for one in task.differences if one.metric == name}
    cells += [_cell(metric, by_pair[pair]) for pair in _pairs(task) if pair in by_pair]
    return {"metric": f"{name} {arrow}", "cells": cells}


def _cell(metric: MetricInfo, found: Estimate | Difference) -> dict[str, str]:
    is_change = isinstance(found, Difference)
    value = signed(metric, found.value) if is_change else metric.figure(found.value)
    kind = _kind(metric, found) if isinstance(found, Difference) else ""
    return {"value": value, "interval": interval_text(metric, found), "p": probability(found.p), "kind": kind}


def _kind(metric: MetricInfo, found: Difference) -> str:
    """``good`` or ``bad`` where the difference is more than chance, else ``open``."""
    if found.p is None or found.p >= CERTAIN:
        return "open"
    return "bad" if (found.value < 0) != metric.lower_is_better else "good"
