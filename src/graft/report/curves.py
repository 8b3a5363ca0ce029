"""The curves of a training: learning rate, gradient norm, speed and memory over the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup

from graft.report import svg
from graft.report.charts import LOG_FROM, axes
from graft.report.format import figure, megabytes
from graft.report.frame import Frame
from graft.report.readings import Reading, readings
from graft.runs.evaluation_document import MetricsRecord
from graft.runs.view import Loss, RunView, number

FRAME = Frame(440, 190, left=54, right=14, top=22, bottom=38)
MOST_POINTS = 120
"""Maximum number of points that a curve is drawn with; a longer one shows every second, third, … point."""


@dataclass(frozen=True)
class Curve:
    """A curve with its title, what is said of it, and its drawing."""

    title: str
    said: str
    chart: Markup


@dataclass(frozen=True)
class _Kind:
    """A figure of metrics.jsonl: its title, unit, how a value is written, and what is said of all of them.

    ``logarithmic``: on a logarithmic axis where the values are of several orders.
    """

    name: str
    title: str
    unit: str
    written: Callable[[float], str]
    said: Callable[[Sequence[float]], str]
    logarithmic: bool = False


def curves(view: RunView) -> list[Curve]:
    """Return the curves of which metrics.jsonl has two steps or more."""
    in_tokens = any(number(line.tokens_per_second) is not None for line in view.metrics)
    kinds = (_RATE, _NORM, _TOKENS if in_tokens else _ROWS, _MEMORY)
    found = ((kind, points_of(view.metrics, kind.name)) for kind in kinds)
    return [
        Curve(kind.title, kind.said([p.value for p in points]), _chart(kind, points))
        for kind, points in found
        if len(points) > 1
    ]


def points_of(metrics: Sequence[MetricsRecord], name: str) -> list[Loss]:
    """Return the points of a figure of metrics.jsonl; after a resume the later value of a step holds."""
    by_step = {line.step: value for line in metrics if (value := number(getattr(line, name))) is not None}
    return [Loss(step, by_step[step]) for step in sorted(by_step)]


def _chart(kind: _Kind, points: Sequence[Loss]) -> Markup:
    values, last = [point.value for point in points], points[-1].step
    x = svg.linear(0, last, FRAME.left, FRAME.end)
    y, y_ticks = _axis(min(values), max(values), kind.logarithmic)
    x_ticks = [tick for tick in svg.ticks(0, last, 5) if tick <= last]
    shown = points[:: -(-len(points) // MOST_POINTS)]
    unit = f" {kind.unit}" if kind.unit else ""
    read = [Reading(p.step, f"step {p.step:,}: {kind.written(p.value)}{unit}", ((p.value, "single"),)) for p in shown]
    described = f"{kind.title} from step {points[0].step} to {last}: {kind.said(values)}."
    ident = f"curve-{kind.name.replace('_', '-')}"
    return svg.figure(
        FRAME.width,
        FRAME.height,
        ident,
        kind.title,
        described,
        axes(FRAME, x, y, x_ticks, y_ticks),
        svg.path([(x(point.step), y(point.value)) for point in points], "curve single"),
        *readings(read, x, y, FRAME),
        class_="small-multiple",
    )


def _axis(low: float, high: float, logarithmic: bool) -> tuple[svg.Scale, list[float]]:
    """A scale from zero, or a logarithmic one where the values are of several orders."""
    if logarithmic and low > 0 and high / low >= LOG_FROM:
        marks = svg.log_ticks(low, high)
        shown = marks if len(marks) <= 6 else [mark for mark in marks if f"{mark:e}".startswith("1")] or marks
        return svg.logarithmic(marks[0], marks[-1], FRAME.floor, FRAME.top), shown
    marks = svg.ticks(min(low, 0.0), high, 3)
    return svg.linear(marks[0], marks[-1], FRAME.floor, FRAME.top), marks


def _peak(values: Sequence[float]) -> str:
    return f"highest {figure(max(values))}, last {figure(values[-1])}"


def _middle(unit: str) -> Callable[[Sequence[float]], str]:
    return lambda values: f"median {_three(median(values))} {unit}, lowest {_three(min(values))}"


def _three(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


_RATE = _Kind("learning_rate", "Learning rate", "", figure, _peak)
_NORM = _Kind(
    "grad_norm", "Gradient norm", "", figure, lambda v: f"median {figure(median(v))}, highest {figure(max(v))}", True
)
_TOKENS = _Kind("tokens_per_second", "Speed", "tokens/s", _three, _middle("tokens/s"))
_ROWS = _Kind("rows_per_second", "Speed", "rows/s", _three, _middle("rows/s"))
_MEMORY = _Kind("rss_mb", "Memory in MB", "", megabytes, lambda values: f"highest {megabytes(max(values))}")
