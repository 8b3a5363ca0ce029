"""``graft show``: a run in the terminal, and as one JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graft.report import summary
from graft.report.base_weights import dependence
from graft.report.benchmark_section import print_benchmarks
from graft.report.figure_table import print_figures
from graft.report.forgetting_section import forgetting_sentence
from graft.report.format import count, interval_text, metric_of, signed
from graft.report.judgments_section import sentences
from graft.report.row_changes import find_changes
from graft.runs.metric_info import MetricInfo
from graft.runs.view import Difference, Estimate, RunView

STYLES = {"finished": "green", "evaluated": "green", "failed": "red", "interrupted": "yellow", "running": "yellow"}
FILES = ("report.html", "README.md", "adapter", "model", "evaluation.json", "predictions.jsonl", "metrics.jsonl")


def print_run(run: Path, console: Console) -> None:
    """Print the run in ``run``: status, verdict, scores, data, training, files."""
    view = RunView.read(run)
    heading = Text(view.title, style="bold")
    heading.append(f"  {view.status}", style=STYLES.get(view.status, ""))
    if summary.subtitle(view):
        heading.append(f"  {summary.subtitle(view)}", style="dim")
    console.print(heading)
    console.print(Text(summary.sentence(view), style="bold"))
    if view.scores:
        console.print()
        _print_scores(view, console)
    for sentence in filter(None, (summary.to_beat(view), summary.without_leaked(view), forgetting_sentence(view))):
        console.print(Text(sentence))
    if view.evaluation.benchmarks is not None:
        console.print()
        print_benchmarks(view.evaluation.benchmarks.document(), console)
    if changes := find_changes(view):
        fixed, broken = f"{len(changes.fixed):,} rows", f"{len(changes.broken):,}"
        said = f"fixed {fixed} and broke {broken}" if changes.binary else f"improved {fixed} and worsened {broken}"
        console.print(Text(f"Tuning {said}."))
    for sentence in sentences(view.evaluation.judgments) if view.evaluation.judgments is not None else ():
        console.print(Text(sentence))
    if view.closed:
        console.print(Text(f"note: {view.closed}", style="yellow"))
    for title, pairs in (("Data", summary.data_facts(view)), ("Training", summary.training_facts(view))):
        print_facts(console, title, pairs)
    for warning in summary.warnings(view):
        console.print(Text(f"warning: {warning}", style="yellow"))
    needs = dependence(view)
    if needs is not None:
        _, what, remedies = needs
        console.print(Text(f"note: {what}\n" + "\n".join(f"  {remedy}" for remedy in remedies), style="yellow"))
    print_facts(console, "Files", _files(run))


def run_summary(run: Path) -> dict[str, Any]:
    """The same for programs: plain values of the run's files, nothing formatted."""
    view = RunView.read(run)
    changes, evaluation = find_changes(view), view.evaluation.document()
    return {
        "run": str(run),
        "title": view.title,
        "status": view.status,
        "verdict": summary.sentence(view),
        "base": view.manifest.base.document() if view.manifest and view.manifest.base else {},
        "method": view.method,
        "scores": evaluation.get("predictors", {}),
        "without_leaked": evaluation.get("without_leaked"),
        "baselines": evaluation.get("baselines", {}),
        "differences": evaluation.get("differences", []),
        "baseline_differences": evaluation.get("baseline_differences", []),
        "benchmarks": evaluation.get("benchmarks", {}).get("tasks", {}),
        "judgments": evaluation.get("judgments"),
        "forgetting": evaluation.get("forgetting"),
        "fixed": len(changes.fixed) if changes else None,
        "broken": len(changes.broken) if changes else None,
        "data": view.data.document(),
        "training": view.training.document(),
        "warnings": summary.warnings(view),
        "error": view.error or None,
        "needs": needs[1] if (needs := dependence(view)) else None,
        "files": dict(_files(run)),
    }


def _print_scores(view: RunView, console: Console) -> None:
    rows: list[tuple[str | Text, ...]] = []
    for name in view.metric_names:
        metric = metric_of(view, name)
        estimates = [values.get(name) for values in view.scores.values()]
        cells = [_cell(metric, found) for found in (*estimates, view.difference(name))]
        rows.append((metric.heading, *cells, count(next((each.n for each in estimates if each), None))))
    print_figures(console, ("metric", *view.predictors, "difference", "rows"), rows)


def _cell(metric: MetricInfo, found: Estimate | Difference | None) -> Text:
    if found is None:
        return Text("")
    written = signed(metric, found.value) if isinstance(found, Difference) else metric.figure(found.value)
    cell = Text(written, style="bold")
    interval = interval_text(metric, found)
    return cell.append(f" ({interval})", style="not bold dim") if interval else cell


def print_facts(console: Console, title: str, pairs: summary.Facts) -> None:
    """Print names with their values under a title; nothing without any."""
    if not pairs:
        return
    console.print()
    console.print(Text(title, style="bold"))
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(name), Text(value))
    console.print(table)


def _files(run: Path) -> summary.Facts:
    return [(name, str(run / name)) for name in FILES if (run / name).exists()]
