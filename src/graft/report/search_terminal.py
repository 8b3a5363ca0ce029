"""``graft show`` of a search: in the terminal, and as one JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from graft.report.figure_table import print_figures
from graft.report.format import duration
from graft.report.search_luck import luck, luck_in_words, sureness
from graft.report.search_page import BEST, PAGE, TABLE
from graft.report.search_view import SearchView, bounds, cut, facts, verdict, written
from graft.report.terminal import STYLES, print_facts
from graft.runs.manifest import TrialRecord
from graft.runs.search_manifest import WINNER
from graft.runs.view import number

MOST = 5
"""Trials that are printed, the best ones; trials.csv has all."""
LONGEST = 30
"""Letters of a value."""
UNBOUNDED = 100_000
NARROW = 64
"""Columns of a terminal in which a table has no room."""


def print_search(folder: Path, console: Console) -> None:
    """Print the search in ``folder``: status, verdict, the best trials, what was searched, files."""
    view = SearchView.read(folder)
    heading = Text(view.title, style="bold")
    heading.append(f"  {view.status}", style=STYLES.get(view.status, ""))
    console.print(heading)
    console.print(Text(verdict(view), style="bold"))
    if view.manifest.error:
        console.print(Text(view.manifest.error, style="red"))
    found = luck(view)
    if found is not None:
        console.print(Text(" ".join(filter(None, (luck_in_words(view, found), sureness(found, view.metric))))))
    if view.trials:
        console.print()
        _print_trials(view, console)
    searched = [(name, bounds(view.dimension(name))) for name in view.names]
    files = [(name, str(folder / name)) for name in (PAGE, TABLE, BEST, WINNER) if (folder / name).exists()]
    for title, pairs in (("Searched", searched), ("Search", facts(view)), ("Files", files)):
        print_facts(console, title, pairs)


def search_summary(folder: Path) -> dict[str, Any]:
    """The same for programs: plain values of the records, nothing formatted."""
    view = SearchView.read(folder)
    manifest, found = view.manifest, luck(view)
    return {
        "search": str(folder),
        "status": view.status,
        "verdict": verdict(view),
        "metric": manifest.metric,
        "greater_is_better": manifest.greater_is_better,
        "strategy": manifest.strategy,
        "seed": manifest.seed,
        "space": manifest.space,
        "settings": manifest.settings,
        "num_trials": manifest.num_trials,
        "counts": view.counts,
        "seconds": manifest.seconds,
        "selection_rows": manifest.selection_rows,
        "untouched_rows": manifest.untouched_rows,
        "default": _trial(view.default),
        "winner": _trial(view.winner),
        "best": str(view.best) if view.best else None,
        "luck": asdict(found) if found else None,
        "trials": [_trial(trial) for trial in view.trials],
        "error": manifest.error,
    }


def _trial(trial: TrialRecord | None) -> dict[str, Any] | None:
    return None if trial is None else trial.model_dump(mode="json", exclude={"untouched_rows"})


def _print_trials(view: SearchView, console: Console) -> None:
    """The best trials, with a column for each setting, or where these are too wide with one for all."""
    shown = view.ranked[:MOST]
    shown += [trial for trial in view.trials if trial.number == 0 and trial not in shown]
    rows = [_row(view, trial) for trial in shown]
    headings = ("trial", view.metric.label, "status", *view.names, "steps", "time")
    wide = _table(headings, rows)
    if Measurement.get(console, console.options.update(max_width=UNBOUNDED), wide).maximum <= console.width:
        console.print(wide)
    elif console.width < NARROW:
        print_figures(console, headings, [(f"trial {first}", *others) for first, *others in rows])
    else:
        console.print(
            _table((*headings[:3], "settings"), [(*row[:3], _joined(view, row)) for row in rows], folded=True)
        )
    rest = len(view.trials) - len(shown)
    if rest > 0:
        console.print(Text(f"and {rest:,} more, all in {TABLE}", style="dim"))


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], folded: bool = False) -> Table:
    """The trials as a table; ``folded``: the last column has several lines."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, heading in enumerate(headings):
        is_last = folded and place == len(headings) - 1
        is_text = heading == "status" or is_last
        table.add_column(Text(heading), justify="left" if is_text else "right", overflow="fold", no_wrap=not is_last)
    for row in rows:
        table.add_row(*(Text(cell, style="bold" if place == 1 else "") for place, cell in enumerate(row)))
    return table


def _joined(view: SearchView, row: Sequence[str]) -> str:
    """The settings of a row by name, its steps and its time."""
    pairs = zip(view.names, row[3 : 3 + len(view.names)], strict=True)
    steps, time = row[-2:]
    cost = [f"{steps} steps" if steps else "", time]
    return ", ".join([*(f"{name} {value}" for name, value in pairs if value), *filter(None, cost)])


def _row(view: SearchView, trial: TrialRecord) -> tuple[str, ...]:
    is_winner = view.winner is not None and trial.number == view.winner.number
    status = "best" if is_winner else f"equal to {trial.same_as}" if trial.status == "duplicate" else trial.status
    if trial.number == 0:
        status = "defaults, best" if is_winner else "defaults" if trial.status == "completed" else f"defaults, {status}"
    value = view.metric.figure(trial.value) if trial.value is not None and number(trial.value) is not None else ""
    settings = (cut(written(trial.settings[name]), LONGEST) if name in trial.settings else "" for name in view.names)
    steps = f"{trial.steps:,}" if trial.steps else ""
    time = duration(trial.seconds) if trial.seconds else ""
    return (str(trial.number), value, status, *settings, steps, time)
