"""What a search leaves beside its records: ``search.html``, ``trials.csv``, and ``best.yaml``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from graft.files import write_whole
from graft.plain_text import mask_secrets
from graft.report.best_settings import best_yaml
from graft.report.format import duration, interval_text, probability, when
from graft.report.page import STATUSES
from graft.report.search_charts import beyond, costs, history
from graft.report.search_importance import Importance, importance
from graft.report.search_luck import AgainstBase, against_base, luck, luck_in_words, sureness
from graft.report.search_parallel import parallel
from graft.report.search_table import trials_csv
from graft.report.search_view import SearchView, bounds, cut, facts, verdict, written
from graft.report.templating import render_page
from graft.runs.difference_record import DifferenceRecord
from graft.runs.manifest import TrialRecord
from graft.runs.view import number
from graft.shared_text import shared
from graft.shell import command

PAGE, TABLE, BEST = "search.html", "trials.csv", "best.yaml"
MOST_CELLS, MOST_ORDERS = 6000, 12
"""Maximum number of cells in all orders of the table together, and of orders, as many as the style knows."""
LONGEST = 120
"""Maximum number of characters of a value in the table of the best settings; the table of all trials has all."""


class SettingRow(NamedTuple):
    """A searched setting: what was searched, the default, the winner's value, and whether these differ."""

    name: str
    searched: str
    default: str
    winner: str
    differs: bool


class TrialRow(NamedTuple):
    """A trial in the table, as text."""

    number: int
    status: str
    note: str
    score: str
    settings: list[str]
    steps: str
    time: str
    kind: str


class Order(NamedTuple):
    """An order of the table: its name in the page, its name for people, and the trials."""

    key: str
    title: str
    rows: list[TrialRow]


def write_search_pages(folder: Path) -> Path:
    """Write the page, the table of trials, and the winner's workflow file into a search folder.

    Args:
        folder: The search folder; its search may still run.

    Returns:
        The page.

    Raises:
        InputError: If it is no search folder, or a record is damaged.
        GraftError: If a file cannot be written.
    """
    view = SearchView.read(folder)
    write_whole(folder / TABLE, trials_csv(view).encode())
    settings = best_yaml(view)
    if settings is not None:
        write_whole(folder / BEST, settings)
    write_whole(folder / PAGE, render_search(view))
    return folder / PAGE


def render_search(view: SearchView) -> str:
    """Return the page of a search."""
    found, base = luck(view), against_base(view)
    status, kind = STATUSES.get(view.status, ("Status unknown", "waiting"))
    manifest = view.manifest
    return render_page(
        "search.html.j2",
        title=view.title,
        verdict=verdict(view),
        status=status,
        status_kind=kind,
        date=when(manifest.finished or manifest.started),
        error=shared(manifest.error or ""),
        commands=_commands(view),
        statuses=view.counts,
        tally=[(name, {"failed": "bad"}.get(name, ""), count) for name, count in view.counts.items()],
        facts=shared(facts(view)),
        figure=view.metric.figure,
        metric=view.metric,
        default=view.default,
        winner=view.winner,
        gain=_gain(view),
        settings=shared(_settings(view)),
        luck=found,
        luck_said=luck_in_words(view, found) if found else "",
        sureness=sureness(found, view.metric) if found else "",
        against=base and _against(base),
        selection_rows=manifest.selection_rows,
        untouched_rows=manifest.untouched_rows,
        ran=len(view.ran),
        history=history(view),
        beyond=beyond(view),
        parallel=parallel(view),
        importance=importance(view) if view.status != "running" else Importance(why_not="the search is running"),
        costs=costs(view),
        names=view.names,
        orders=shared(_orders(view)),
    )


def _commands(view: SearchView) -> list[tuple[str, str]]:
    """What to do with the winner, as one would type it beside the folder."""
    if view.best is None:
        resume = view.status in ("interrupted", "failed")
        return [("Resume the search", command("graft", "search", "--resume", "-o", view.title))] if resume else []
    best = f"{view.title}/best"
    return [
        ("Chat with the winner", command("graft", "chat", best)),
        ("Train it again", command("graft", "run", f"{view.title}/{BEST}")),
        ("Export it", command("graft", "auto-opt", best)),
    ]


def _gain(view: SearchView) -> tuple[str, str] | None:
    """The difference of the winner to the defaults as text, and its tone."""
    if view.default is None or view.winner is None or view.winner.number == 0:
        return None
    better = view.better_by(view.winner.value, view.default.value)
    if better is None or view.winner.value is None or view.default.value is None:
        return None
    return view.metric.figure(view.winner.value - view.default.value, True), "good" if better > 0 else "open"


def _settings(view: SearchView) -> list[SettingRow]:
    def value(trial: TrialRecord | None, name: str) -> str:
        return cut(written(trial.settings[name]), LONGEST) if trial is not None and name in trial.settings else ""

    found = []
    for name in view.names:
        before, after = value(view.default, name), value(view.winner, name)
        found.append(SettingRow(name, cut(bounds(view.dimension(name)), LONGEST), before, after, before != after))
    return found


def _against(found: AgainstBase) -> dict[str, str]:
    difference = DifferenceRecord.model_validate(
        {"metric": found.metric.name, "from": "base", "to": "tuned"}
        | {name: getattr(found.difference, name) for name in ("value", "low", "high", "p")}
    )
    return {
        "metric": found.metric.label,
        "rows": f"{found.rows:,}",
        "base": found.metric.figure(found.base),
        "tuned": found.metric.figure(found.tuned),
        "difference": found.metric.figure(difference.value, True),
        "interval": interval_text(found.metric, difference),
        "p": probability(difference.p),
    }


def _orders(view: SearchView) -> list[Order]:
    """The table in each order that it can be sorted in, without a script: by score, number, time, and setting."""
    rows = {trial.number: _row(view, trial) for trial in view.trials}

    def ordered(key: str, title: str, trials: Sequence[TrialRecord]) -> Order:
        return Order(key, title, [rows[trial.number] for trial in trials])

    found = [
        ordered("score", view.metric.label, view.ranked),
        ordered("number", "trial", view.trials),
        ordered("time", "time", sorted(view.trials, key=lambda trial: (-trial.seconds, trial.number))),
    ]
    columns = len(view.names) + 5
    for place, name in enumerate(view.names):
        if (len(found) + 1) * columns * len(rows) <= MOST_CELLS and len(found) < MOST_ORDERS:
            found.append(ordered(f"setting-{place}", name, sorted(view.trials, key=_by_setting(view, name))))
    return found


def _by_setting(view: SearchView, name: str) -> Callable[[TrialRecord], Any]:
    """By the value: numbers by size, before texts by their letters; equal ones the best first."""

    def key(trial: TrialRecord) -> Any:
        value = trial.settings.get(name)
        found = number(value)
        return (found is None, found or 0.0, "" if found is not None else written(value), view.rank(trial))

    return key


def _row(view: SearchView, trial: TrialRecord) -> TrialRow:
    notes = {"duplicate": f"equal to trial {trial.same_as}", "failed": (trial.error or "").strip().split("\n")[0]}
    note = ": ".join(filter(None, ("defaults" if trial.number == 0 else "", notes.get(trial.status, ""))))
    is_winner = view.winner is not None and trial.number == view.winner.number
    return TrialRow(
        trial.number,
        "best" if is_winner else trial.status,
        mask_secrets(note),
        view.metric.figure(trial.value) if number(trial.value) is not None and trial.value is not None else "",
        [written(trial.settings[name]) if name in trial.settings else "" for name in view.names],
        f"{trial.steps:,}" if trial.steps else "",
        duration(trial.seconds) if trial.seconds else "",
        "good" if is_winner else {"failed": "bad", "pruned": "waiting"}.get(trial.status, "open"),
    )
