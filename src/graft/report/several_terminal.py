"""Several runs side by side in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from graft.report.figure_table import print_figures
from graft.report.format import interval_text, probability
from graft.report.several_runs import SeveralRuns, difference_text
from graft.runs.metric_info import MetricInfo
from graft.runs.view import Estimate


def print_several(several: SeveralRuns, console: Console) -> None:
    """Print the runs with their letters, the scores, the differences, the settings that differ, and the figures."""
    console.print(Text(several.verdict, style="bold"))
    for run in several.runs:
        line = Text(f"{run.letter}  ", style="bold").append(run.name, style="not bold")
        console.print(line.append(f"  {run.view.status}", style="not bold dim"))
    letters = [run.letter for run in several.runs]
    rows: list[tuple[str | Text, ...]] = [
        (metric.heading, *[_cell(metric, run.scores.get(metric.name)) for run in several.runs])
        for metric in several.metrics
    ]
    if rows:
        console.print()
        print_figures(console, ("metric", *letters), rows)
    for each in several.differences:
        metric = several.metrics[0]
        interval, p = interval_text(metric, each.difference), probability(each.difference.p)
        change = f"{metric.label} {difference_text(metric, each)} (95 % interval {interval}, {p}), n = {each.rows:,}"
        console.print(Text(f"{each.after} − {each.before}: {change}"))
    for title, pairs in (("Settings that differ", several.settings), ("Figures", several.figures)):
        if pairs:
            console.print()
            console.print(Text(title, style="bold"))
            print_figures(
                console, ("", *letters), [(name, *[value or "–" for value in values]) for name, values in pairs]
            )


def _cell(metric: MetricInfo, found: Estimate | None) -> Text:
    if found is None:
        return Text("–")
    cell, interval = Text(metric.figure(found.value), style="bold"), interval_text(metric, found)
    return cell.append(f" ({interval})", style="not bold dim") if interval else cell
