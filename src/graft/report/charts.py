"""The page's two charts: loss curves, and scores with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from graft.report import svg
from graft.report.format import figure, interval_text
from graft.report.frame import Frame
from graft.report.readings import Reading, readings
from graft.runs.metric_info import MetricInfo
from graft.runs.view import Estimate, Loss

LOG_FROM = 20.0
"""The ratio of the largest to the smallest loss from which the axis is logarithmic."""
MOST_POINTS = 150
"""Maximum number of points of the training loss that are read under the pointer."""
DENSE = 40
"""Number of points from which a curve is drawn without dots."""


def loss_chart(
    training: Sequence[Loss],
    held_out: Sequence[Loss],
    best: Loss | None,
    frame: Frame,
    ident: str,
    class_: str,
    overfitting: int | None = None,
) -> Markup | None:
    """Both curves over the steps; None without at least two points of one. ``overfitting`` is the step it begins at."""
    if max(len(training), len(held_out)) < 2:
        return None
    values = [loss.value for loss in (*training, *held_out)]
    last = max(loss.step for loss in (*training, *held_out))
    y, y_ticks = loss_axis(min(values), max(values), frame)
    x = svg.linear(0, last, frame.left, frame.end)
    x_ticks = [tick for tick in svg.ticks(0, last, 4 if frame.width < 500 else 7) if tick <= last]
    return svg.figure(
        frame.width,
        frame.height,
        ident,
        "Training and held-out loss",
        _describe(training, held_out, best) + (f" Overfitting starts at step {overfitting}." if overfitting else ""),
        _overfitting_span(overfitting, x, last, frame),
        axes(frame, x, y, x_ticks, y_ticks),
        _best_line(best, x, y, frame),
        svg.path([(x(loss.step), y(loss.value)) for loss in training], "curve training"),
        svg.path([(x(loss.step), y(loss.value)) for loss in held_out], "curve held-out"),
        *_dots(held_out, x, y, "held-out", 3.2),
        svg.circle(x(best.step), y(best.value), 6.5, "best-ring") if best else Markup(""),
        *readings(_read(training, held_out), x, y, frame),
        class_=class_,
    )


def loss_axis(low: float, high: float, frame: Frame, logarithmic: bool = True) -> tuple[svg.Scale, list[float]]:
    """The scale and the ticks of values in nats; logarithmic where they are of several orders."""
    if logarithmic and low > 0 and high / low >= LOG_FROM:
        marks = svg.log_ticks(low, high)
        return svg.logarithmic(marks[0], marks[-1], frame.floor, frame.top), marks
    marks = svg.ticks(min(low, 0.0) if low < 0.4 * high else low, high, 5)
    return svg.linear(marks[0], marks[-1], frame.floor, frame.top), marks


def axes(frame: Frame, x: svg.Scale, y: svg.Scale, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> Markup:
    """The axes of a chart over the steps, with their ticks and rules."""
    parts = [svg.line(frame.left, y(tick), frame.end, y(tick), "rule") for tick in y_ticks]
    parts += [svg.text(frame.left - 8, y(tick) + 4, figure(tick), "tick", "end") for tick in y_ticks]
    parts += [svg.text(x(tick), frame.floor + 17, figure(tick), "tick", "middle") for tick in x_ticks]
    parts += [svg.line(x(tick), frame.floor, x(tick), frame.floor + 4, "axis") for tick in x_ticks]
    parts.append(svg.line(frame.left, frame.floor, frame.end, frame.floor, "axis"))
    parts.append(svg.text((frame.left + frame.end) / 2, frame.height - 5, "step", "axis-name", "middle"))
    return Markup("").join(parts)


def _best_line(best: Loss | None, x: svg.Scale, y: svg.Scale, frame: Frame) -> Markup:
    if best is None:
        return Markup("")
    at = x(best.step)
    on_left = at > (frame.left + frame.end) / 2
    words = f"best: step {best.step}, {figure(best.value)}"
    label = svg.text(at - 8 if on_left else at + 8, frame.top + 10, words, "best-label", "end" if on_left else "start")
    return svg.line(at, frame.top, at, frame.floor, "best-line") + label


def _overfitting_span(step: int | None, x: svg.Scale, last: int, frame: Frame) -> Markup:
    """The part of the training that overfits, from the lowest held-out loss on."""
    if step is None or step >= last:
        return Markup("")
    start, end = x(step), x(last)
    words = "overfitting"
    beside = start - frame.left > 90  # left of the span, or else in it: the best step's line is in the span
    place, anchor = (start - 8, "end") if beside else (start + 8, "start")
    label = svg.text(place, frame.top + 27, words, "overfitting-label", anchor)  # below the best step's label
    span = svg.element(
        "rect", x=start, y=frame.top, width=end - start, height=frame.floor - frame.top, class_="overfitting-span"
    )
    return span + label


def _dots(losses: Sequence[Loss], x: svg.Scale, y: svg.Scale, class_: str, radius: float) -> list[Markup]:
    """A dot for each loss of a curve with few of them."""
    return [svg.circle(x(loss.step), y(loss.value), radius, f"dot {class_}") for loss in losses if len(losses) <= DENSE]


def _read(training: Sequence[Loss], held_out: Sequence[Loss]) -> list[Reading]:
    """What is read at each step: the losses of it. Of many steps, some are left out, and none of the held-out loss."""
    every = -(-len(training) // MOST_POINTS) or 1
    by_step: dict[int, list[tuple[str, float, str]]] = {}
    for losses, name, kind in ((training[::every], "training", "training"), (held_out, "held-out", "held-out")):
        for loss in losses:
            by_step.setdefault(loss.step, []).append((f"{name} {figure(loss.value)}", loss.value, kind))
    return [
        Reading(step, f"step {step:,}: {', '.join(words for words, _, _ in found)}", [(v, k) for _, v, k in found])
        for step, found in sorted(by_step.items())
    ]


def _describe(training: Sequence[Loss], held_out: Sequence[Loss], best: Loss | None) -> str:
    parts = []
    for name, losses in (("Training", training), ("Held-out", held_out)):
        if losses:
            first, last = losses[0], losses[-1]
            parts.append(
                f"{name} loss goes from {figure(first.value)} at step {first.step} "
                f"to {figure(last.value)} at step {last.step}."
            )
    if best:
        parts.append(f"The best held-out loss is {figure(best.value)}, at step {best.step}.")
    return " ".join(parts)


def interval_plot(
    scores: Mapping[str, Mapping[str, Estimate]], metrics: Sequence[MetricInfo], commonest: float | None = None
) -> Markup | None:
    """Draw a dot for each score and a whisker for its interval, relative to the scale of its metric.

    Args:
        scores: Predictor to metric to estimate.
        metrics: The metrics to draw. Those without a scale, such as perplexity, and those with values beyond it are
            left out.
        commonest: The accuracy of always giving the most frequent answer, marked where a metric has such a baseline.

    Returns:
        The drawing, or None when no metric fits on the axis.
    """
    shown = [metric for metric in metrics if _on_unit_axis(scores, metric)]
    if not shown or not scores:
        return None
    step = 15.0
    row = (28 if len(shown) < 5 else 16) + step * len(scores)
    width, left, top = 400.0, 104.0, 12.0
    floor = top + row * len(shown)
    x = svg.linear(0, 1, left, width - 22)
    parts = [svg.line(x(tick / 4), top, x(tick / 4), floor, "rule") for tick in range(5)]
    parts += [svg.text(x(tick / 4), floor + 18, figure(tick / 4), "tick", "middle") for tick in range(5)]
    for index, metric in enumerate(shown):
        center = top + row * (index + 0.5)
        parts.append(svg.text(left - 12, center + 4, metric.short_heading, "row-name", "end"))
        if metric.has_majority_baseline and commonest is not None:
            parts.append(_commonest_mark(x(commonest), center, row, commonest))
        for place, (name, values) in enumerate(scores.items()):
            if metric.name in values:
                height = center + (place - (len(scores) - 1) / 2) * step
                parts.append(_whisker(name, metric, values[metric.name], x, height))
    described = "; ".join(
        f"{metric.heading}: "
        + ", ".join(
            f"{name} {_in_words(metric, values[metric.name])}"
            for name, values in scores.items()
            if metric.name in values
        )
        for metric in shown
    )
    return svg.figure(width, floor + 28, "intervals", "Scores with 95 % intervals", described, *parts)


def _on_unit_axis(scores: Mapping[str, Mapping[str, Estimate]], metric: MetricInfo) -> bool:
    found = [values[metric.name].value for values in scores.values() if metric.name in values]
    scale = metric.scale
    return scale is not None and bool(found) and all(0 <= value <= scale for value in found)


def _whisker(name: str, metric: MetricInfo, estimate: Estimate, x: svg.Scale, y: float) -> Markup:
    top = metric.scale or 1.0
    kind = name if name in ("base", "tuned") else "other"
    parts = [svg.element("title", f"{metric.heading}, {name}: {_in_words(metric, estimate)}")]
    if estimate.low is not None and estimate.high is not None:
        low, high = x(estimate.low / top), x(estimate.high / top)
        parts.append(svg.line(low, y, high, y, f"whisker {kind}"))
        parts += [svg.line(end, y - 4, end, y + 4, f"whisker {kind}") for end in (low, high)]
    parts.append(svg.circle(x(estimate.value / top), y, 5, f"dot {kind}"))
    return svg.element("g", *parts, class_="point")


def _commonest_mark(x: float, center: float, row: float, value: float) -> Markup:
    words = f"always predicting the most frequent label: {figure(value)}"
    mark = svg.line(x, center - row / 2 + 4, x, center + row / 2 - 4, "commonest")
    return svg.element("g", svg.element("title", words), mark)


def _in_words(metric: MetricInfo, estimate: Estimate) -> str:
    found = interval_text(metric, estimate)
    return f"{metric.figure(estimate.value)} ({found})" if found else metric.figure(estimate.value)
