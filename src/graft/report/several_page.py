"""The page of several runs side by side: one file, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from graft.errors import InputError
from graft.files import write_whole
from graft.report.format import count, interval_text, probability, unbroken
from graft.report.overlay import overlays, series
from graft.report.several_runs import NamedRun, PairedDifference, SeveralRuns, difference_text
from graft.report.templating import render_page
from graft.runs.metric_info import MetricInfo
from graft.shared_text import shared

FILE = "comparison.html"
"""Where the page is written when no file is named."""
GENERATED = '<meta name="generator" content="graft">'


class Cell(NamedTuple):
    """A value with what is below it, and its style."""

    value: str
    below: str = ""
    tone: str = ""


def write_comparison(several: SeveralRuns, path: Path) -> Path:
    """Write the page.

    Raises:
        InputError: If ``path`` is a folder, or a file that is no page of graft's.
        GraftError: If it cannot be written.
    """
    if path.is_dir():
        raise InputError(
            "--html takes a file, and this is a folder", where=str(path), remedy="name the runs before --html"
        )
    if path.is_file() and GENERATED not in path.read_text(encoding="utf-8", errors="replace")[:2_000]:
        raise InputError(
            "this file is no page of graft, and is not replaced", where=str(path), remedy="name another file"
        )
    write_whole(path, render(several))
    return path


def render(several: SeveralRuns) -> str:
    """The page as a string."""
    metric = several.metrics[0] if several.metrics else None
    return render_page(
        "several.html.j2",
        **shared(
            {
                "verdict": unbroken(several.verdict),
                "runs": [_head(index, run) for index, run in enumerate(several.runs)],
                "scores": [(each.heading, each.meaning, _scores(several, each)) for each in several.metrics],
                "same_rows": several.same_rows,
                "settings": several.settings,
                "figures": several.figures,
                "differences": [_difference(metric, each) for each in several.differences if metric is not None],
                "metric": metric.heading if metric else "",
            }
        ),
        overlays=overlays(several),
    )


def _head(index: int, run: NamedRun) -> dict[str, Any]:
    return {
        "letter": run.letter,
        "name": run.name,
        "title": run.view.title if run.view.title != run.view.path.resolve().name else "",
        "series": series(index),
        "predictor": run.predictor or "",
        "status": run.view.status,
    }


def _difference(metric: MetricInfo, each: PairedDifference) -> dict[str, str]:
    return {
        "runs": f"{each.after} \N{MINUS SIGN} {each.before}",
        "value": difference_text(metric, each),
        "interval": interval_text(metric, each.difference),
        "p": probability(each.difference.p),
        "tone": {"better": "good", "worse": "bad"}.get(each.judgment, "open"),
        "rows": count(each.rows),
    }


def _scores(several: SeveralRuns, metric: MetricInfo) -> list[Cell]:
    """A cell for each run; the best of the headline has a color where it is proven against all others."""
    proven = len(several.differences) == len(several.runs) - 1 and all(
        each.judgment == "better" for each in several.differences
    )
    cells = []
    for run in several.runs:
        found = run.scores.get(metric.name)
        best = proven and several.same_rows and run is several.best and metric is several.metrics[0]
        cells.append(
            Cell(metric.figure(found.value), interval_text(metric, found), "good" if best else "")
            if found
            else Cell("")
        )
    return cells
