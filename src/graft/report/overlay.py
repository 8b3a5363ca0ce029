"""The curves of several runs over one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from graft.report import svg
from graft.report.charts import axes, loss_axis
from graft.report.curves import points_of
from graft.report.format import figure
from graft.report.frame import Frame
from graft.report.readings import Reading, readings
from graft.report.several_runs import NamedRun, SeveralRuns
from graft.runs.view import Loss, RunView

FRAMES = {"wide": Frame(1000, 320, left=50, top=24), "narrow": Frame(356, 270, left=42, right=10, top=24)}
COLORS = 8
"""Colors of curves; the ninth run has that of the first again, dashed."""
MOST_POINTS = 80
"""Maximum number of steps that are read under the pointer."""


class Overlay(NamedTuple):
    """A title, and the drawings for wide and for narrow windows."""

    title: str
    charts: list[Markup]


def series(index: int) -> str:
    """Return the style of the run with this number."""
    return f"series-{index % COLORS}{' dashed' if index >= COLORS else ''}"


def overlays(several: SeveralRuns) -> list[Overlay]:
    """Return the curves that two runs or more have."""
    found = []
    for title, read in _CURVES:
        curves = [(index, run, read(run.view)) for index, run in enumerate(several.runs)]
        curves = [(index, run, points) for index, run, points in curves if len(points) > 1]
        if len(curves) > 1:
            found.append(Overlay(title, [_chart(title, curves, frame, name) for name, frame in FRAMES.items()]))
    return found


_CURVES: tuple[tuple[str, Callable[[RunView], list[Loss]]], ...] = (
    ("Held-out loss", lambda view: view.held_out_losses),
    ("Training loss", lambda view: view.training_losses),
    ("Learning rate", lambda view: points_of(view.metrics, "learning_rate")),
    ("Gradient norm", lambda view: points_of(view.metrics, "grad_norm")),
)


def _chart(title: str, curves: Sequence[tuple[int, NamedRun, list[Loss]]], frame: Frame, name: str) -> Markup:
    values = [point.value for _, _, points in curves for point in points]
    last = max(points[-1].step for _, _, points in curves)
    y, y_ticks = loss_axis(min(values), max(values), frame, logarithmic=title != "Learning rate")
    x = svg.linear(0, last, frame.left, frame.end)
    x_ticks = [tick for tick in svg.ticks(0, last, 4 if frame.width < 500 else 8) if tick <= last]
    described = "; ".join(
        f"{run.letter}, {run.name}: {figure(points[0].value)} at step {points[0].step}, "
        f"{figure(points[-1].value)} at step {points[-1].step}"
        for _, run, points in curves
    )
    return svg.figure(
        frame.width,
        frame.height,
        f"{title.lower().replace(' ', '-')}-{name}",
        title,
        described,
        axes(frame, x, y, x_ticks, y_ticks),
        *[
            svg.path([(x(p.step), y(p.value)) for p in points], f"curve several {series(index)}")
            for index, _, points in curves
        ],
        *readings(_read(curves), x, y, frame),
        class_=name,
    )


def _read(curves: Sequence[tuple[int, NamedRun, list[Loss]]]) -> list[Reading]:
    """At each step that a run has a value of: those of all runs that have one there."""
    by_step: dict[int, list[tuple[int, NamedRun, float]]] = {}
    for index, run, points in curves:
        for point in points:
            by_step.setdefault(point.step, []).append((index, run, point.value))
    steps = sorted(by_step)
    return [
        Reading(
            step,
            f"step {step:,}: {', '.join(f'{run.letter} {figure(value)}' for _, run, value in by_step[step][:6])}",
            [(value, series(index)) for index, _, value in by_step[step]],
        )
        for step in steps[:: -(-len(steps) // MOST_POINTS)]
    ]
