"""``report.html``: a single file without external resources, for narrow and wide screens; its script adds comfort."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from graft.data.baselines import TFIDF, baseline_title
from graft.data.checks import Finding
from graft.evaluation.unbeaten import Beaten, unbeaten
from graft.files import write_whole
from graft.report import summary, usage
from graft.report.bars import bars, full_bar
from graft.report.base_weights import LINKED, MISSING
from graft.report.changed_rows import change_lists, changed_rows
from graft.report.changes_between import Compared, compared, judged
from graft.report.charts import interval_plot, loss_chart
from graft.report.confusion import class_rows, commonest_share, matrices, mistakes, with_classes
from graft.report.curves import curves
from graft.report.doctor import diagnose
from graft.report.evaluation_doctor import diagnose_evaluation
from graft.report.finding_view import found_view, recorded_view
from graft.report.format import count, figure, interval_text, metric_of, probability, signed, unbroken, when
from graft.report.frame import Frame
from graft.report.proof_sections import proofs
from graft.report.row_changes import find_changes
from graft.report.takeaways import takeaways
from graft.report.templating import render_page
from graft.runs.metric_info import MetricInfo
from graft.runs.view import Difference, Estimate, Loss, RunView
from graft.shared_text import shared

STEPS = 20
"""Steps of which the losses stand in the table of a run without a held-out loss."""
TONES = {"better": "good", "worse": "bad"}
"""The style of a proven difference."""
ELSEWHERE = frozenset(("interrupted", "failed", LINKED, MISSING))
"""Findings that the page omits: how the run ended stands in its header, and what else the machine has is private."""
STATUSES = {
    "finished": ("Finished", "good"),
    "evaluated": ("Evaluated", "good"),
    "running": ("Running", "waiting"),
    "interrupted": ("Interrupted", "waiting"),
    "failed": ("Failed", "bad"),
}


@dataclass(frozen=True)
class ScoreCell:
    """A metric's value and its confidence interval, as text; both empty where it was not measured."""

    value: str
    interval: str


@dataclass(frozen=True)
class ScoreRow:
    """A metric by predictor, and the difference; ``verdict`` is ``better``, ``worse`` or ``open``."""

    metric: str
    meaning: str
    cells: list[ScoreCell]
    difference: ScoreCell | None
    verdict: str
    n: str


class ToBeat(NamedTuple):
    """A baseline: its score, the difference from it to the model, and the style of what that proves."""

    title: str
    value: str
    difference: str
    tone: str


class FurtherDifference(NamedTuple):
    """A difference between two other models than those that the page compares."""

    metric: str
    models: str
    cell: ScoreCell
    p: str
    verdict: str


@dataclass(frozen=True)
class Hero:
    """The headline: what was before, what is now, and the difference.

    ``tone`` is the style of the large figure: that of ``verdict``, unless a baseline is as good as the model.
    """

    metric: str
    meaning: str
    before_name: str
    before: ScoreCell | None
    after_name: str
    after: ScoreCell
    difference: ScoreCell | None
    verdict: str
    tone: str
    p: str
    n: str
    to_beat: list[ToBeat]


class LossRow(NamedTuple):
    """A step with its losses, as text."""

    step: str
    training: str
    held_out: str


def write_report(run: Path, view: RunView | None = None) -> Path:
    """Write ``report.html`` into the run folder ``run``, from ``view`` or from the files that are there."""
    path = run / "report.html"
    write_whole(path, render(view or RunView.read(run)), private=True)  # it shows rows
    return path


def render(view: RunView) -> str:
    """The page as a string."""
    return render_page("report.html.j2", **_context(view))


def _context(view: RunView) -> dict[str, Any]:
    """The variables of the template, section by section."""
    return {
        "view": view,
        **shared({**_header(view), **_scores(view), **_training(view), **_use(view)}),
        **_classes(view),
        "takeaways": takeaways(view),
        **_rows(view),
        "proofs": proofs(view),
        "snippet": usage.snippet(view),
    }


def _header(view: RunView) -> dict[str, Any]:
    status, status_kind = STATUSES.get(view.status, ("Status unknown", "waiting"))
    return {
        "sentence": _headline(summary.sentence(view)),
        "subtitle": summary.subtitle(view),
        "status": status,
        "status_kind": status_kind,
        "report": "Fine-tuning report" if view.manifest else "Evaluation report",
        "date": when(view.manifest.finished or view.manifest.started) if view.manifest else "",
        "error": view.error,
        "resume": usage.resume_command(view) if view.status in ("interrupted", "failed") else "",
    }


def _scores(view: RunView) -> dict[str, Any]:
    return {
        "judged_on": summary.judged_on(view),
        "without_leaked": summary.without_leaked(view),
        "hero": _hero(view),
        "plot": interval_plot({**_learned(view), **view.scores}, _metrics(view), commonest_share(view)),
        "plotted": [*_learned(view), *view.predictors],
        "commonest": commonest_share(view),
        "baseline": any(metric.has_majority_baseline for metric in _metrics(view)),
        "columns": [*view.baselines, *view.predictors],
        "baselines": summary.baselines_note(view),
        "scores": [_score_row(view, metric, compared(view)) for metric in view.metric_names],
        "further": _further(view),
        "judged_name": sides.after if (sides := compared(view)) else "",
        "diagnosis": [found_view(each) for each in _diagnosis(view) if each.kind not in ELSEWHERE],
    }


def _diagnosis(view: RunView) -> list[Finding]:
    return diagnose(view, usage.location(view)) if view.manifest else diagnose_evaluation(view)


def _learned(view: RunView) -> dict[str, dict[str, Estimate]]:
    """The baseline that learns; the other is the line that marks the most frequent label."""
    return {name: figures for name, figures in view.baselines.items() if name == baseline_title(TFIDF)}


def _training(view: RunView) -> dict[str, Any]:
    return {
        "losses": _loss_charts(view),
        "curves": curves(view),
        "loss_rows": _loss_rows(view),
        "health": view.warnings,
        "training_facts": summary.training_facts(view),
    }


def _classes(view: RunView) -> dict[str, Any]:
    return {
        "matrices": matrices(view),
        "mistakes": mistakes(view),
        "class_predictors": with_classes(view),
        "counted": summary.counted(view),
        "class_rows": class_rows(view, with_classes(view)),
    }


def _rows(view: RunView) -> dict[str, Any]:
    changes = find_changes(view)
    return {
        "changes": changes,
        "change_lists": change_lists(changes) if changes else [],
        "changed_rows": changed_rows(changes) if changes else None,
        "data_facts": shared(summary.data_facts(view)),
        "label_counts": bars(summary.label_counts(view)),
        "full_bar": full_bar(summary.label_counts(view)),
        "warnings": shared(list(view.data.summary.warnings)),
        "findings": shared([recorded_view(finding) for finding in view.data.findings]),
    }


def _use(view: RunView) -> dict[str, Any]:
    settings = summary.settings(view)
    return {
        "usable": usage.has_weights(view),
        "commands": usage.commands(view),
        "chosen": [s for origin in ("given", "inferred") for s in settings if s.origin == origin],
        "defaults": [setting for setting in settings if setting.origin == "default"],
        "machine_facts": summary.machine_facts(view),
        "version_facts": summary.version_facts(view),
        "base_facts": summary.base_facts(view),
    }


def _headline(sentence: str) -> tuple[str, str]:
    """What is said first, and the figures in brackets behind it; a number stays on the line of what is before it."""
    said, bracket, figures = unbroken(sentence).partition(" (")
    return said, f"({figures}" if bracket else ""


def _hero(view: RunView) -> Hero | None:
    name, sides = view.headline, compared(view)
    if name is None or sides is None or name not in view.scores[sides.after]:
        return None
    metric = metric_of(view, name)
    after = view.scores[sides.after][name]
    before = view.scores[sides.before].get(name) if sides.before else None
    difference = sides.difference(view, name)
    beaten = summary.beaten_baselines(view)
    verdict = judged(metric, difference)
    return Hero(
        metric.heading,
        metric.meaning,
        sides.before or "",
        _cell(metric, before) if before else None,
        sides.after,
        _cell(metric, after),
        ScoreCell(signed(metric, difference.value), interval_text(metric, difference)) if difference else None,
        verdict,
        TONES.get("open" if verdict == "better" and unbeaten(beaten) else verdict, ""),
        probability(difference.p) if difference else "",
        count(after.n),
        [_to_beat(metric, each) for each in beaten],
    )


def _to_beat(metric: MetricInfo, each: Beaten) -> ToBeat:
    change = signed(metric, each.difference["value"])
    return ToBeat(baseline_title(each.name), metric.figure(each.value), change, TONES.get(each.judgment, "open"))


def _further(view: RunView) -> list[FurtherDifference]:
    """The differences that the table of scores has no column for, the headline's first."""
    sides = compared(view)
    shown = (sides.before, sides.after) if sides else None
    pairs = ((each, (each.before, each.after)) for each in view.differences)
    others = [each for each, pair in pairs if pair != shown and {*pair} <= {*view.predictors}]
    others.sort(key=lambda each: each.metric != view.headline)
    return [_further_row(metric_of(view, each.metric), each) for each in others]


def _further_row(metric: MetricInfo, each: Difference) -> FurtherDifference:
    cell = ScoreCell(signed(metric, each.value), interval_text(metric, each))
    models = f"{each.before} \N{RIGHTWARDS ARROW} {each.after}"
    return FurtherDifference(metric.heading, models, cell, probability(each.p), judged(metric, each))


def _metrics(view: RunView) -> list[MetricInfo]:
    return [metric_of(view, name) for name in view.metric_names]


def _score_row(view: RunView, name: str, sides: Compared | None) -> ScoreRow:
    metric = metric_of(view, name)
    estimates = [values.get(name) for values in (*view.baselines.values(), *view.scores.values())]
    difference = sides.difference(view, name) if sides else None
    return ScoreRow(
        metric.heading,
        metric.meaning,
        [_cell(metric, estimate) if estimate else ScoreCell("", "") for estimate in estimates],
        ScoreCell(signed(metric, difference.value), interval_text(metric, difference)) if difference else None,
        judged(metric, difference),
        count(next((estimate.n for estimate in estimates if estimate), None)),
    )


def _cell(metric: MetricInfo, estimate: Estimate) -> ScoreCell:
    return ScoreCell(metric.figure(estimate.value), interval_text(metric, estimate))


def _loss_charts(view: RunView) -> list[Markup]:
    """The same chart for wide and for narrow windows; the style shows one of them."""
    frames = {"wide": Frame(600, 290, top=24), "narrow": Frame(356, 280, left=38, right=10, top=24)}
    charts = [
        loss_chart(
            view.training_losses, view.held_out_losses, view.best, frame, f"loss-{name}", name, overfitting_since(view)
        )
        for name, frame in frames.items()
    ]
    return [chart for chart in charts if chart]


def overfitting_since(view: RunView) -> int | None:
    """Return the step from which the run overfits."""
    return next((warning.step for warning in view.warnings if warning.kind == "overfitting"), None)


def _loss_rows(view: RunView) -> list[LossRow]:
    """Step, training loss, held-out loss: at the steps that were evaluated, or else the last logged."""
    training = {loss.step: loss.value for loss in view.training_losses}
    held_out = {loss.step: loss.value for loss in view.held_out_losses}
    steps = sorted(held_out) if held_out else sorted(training)[-STEPS:]
    return [
        LossRow(count(step), figure(_before(view.training_losses, step)), figure(held_out.get(step))) for step in steps
    ]


def _before(losses: list[Loss], step: int) -> float | None:
    return next((loss.value for loss in reversed(losses) if loss.step <= step), None)
