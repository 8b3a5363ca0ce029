"""Drawings of a search: its history, and the cost of trials against their score."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from graft.report import svg
from graft.report.format import duration
from graft.report.frame import Frame
from graft.report.search_axes import Axis, Tick, score_axis
from graft.report.search_view import SearchView
from graft.runs.manifest import TrialRecord
from graft.runs.view import number
from graft.shared_text import shared

FRAMES = {"wide": Frame(1000, 330, left=58), "narrow": Frame(356, 290, left=50, right=12)}
"""For wide and for narrow windows; the style shows one of them."""
CROWD = 60
"""Number of trials from which the marks are smaller."""
UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
Place = tuple[float, float]


def history(view: SearchView) -> list[Markup]:
    """Draw the score of each trial by its number, with the best so far; nothing without a score."""
    return [_history(view, frame, name) for name, frame in FRAMES.items()] if view.ran else []


def costs(view: SearchView) -> list[Markup]:
    """Draw the score of each trial by the time it took; nothing with less than two."""
    timed = [trial for trial in view.ran if trial.seconds > 0]
    return [_costs(view, timed, frame, name) for name, frame in FRAMES.items()] if len(timed) > 1 else []


def _history(view: SearchView, frame: Frame, class_: str) -> Markup:
    last = max(trial.number for trial in view.trials)
    y = _Down(_scores(view), frame)
    pad = 0.5 if last < 3 else last * 0.02
    x = svg.linear(-pad, last + pad, frame.left, frame.end)
    marks = svg.ticks(0, last, 4 if frame.width < 500 else 8)
    ticks = [(x(mark), f"{mark:,.0f}") for mark in marks if mark == int(mark) and mark <= last]
    best = best_so_far(view)
    return svg.figure(
        frame.width,
        frame.height,
        f"history-{class_}",
        f"The {view.metric.label} of each trial, and the best so far",
        _described(view),
        _grid(frame, y.ticks, y, ticks, "trial"),
        _default_line(view, y, frame),
        svg.path(list(_stairs([(x(number), y(value)) for number, value in best], frame.end)), "curve best-so-far"),
        *[_mark(view, trial, (x(trial.number), y(trial.value))) for trial in view.ran if trial.value is not None],
        *[_failed(trial, x(trial.number), frame.floor - 7) for trial in view.trials if trial.status == "failed"],
        _winner(view, lambda trial: (x(trial.number), y(trial.value or 0.0))),
        class_=class_,
    )


def _costs(view: SearchView, timed: Sequence[TrialRecord], frame: Frame, class_: str) -> Markup:
    y = _Down(_scores(view), frame)
    longest = max(trial.seconds for trial in timed)
    unit, seconds = next((unit, size) for unit, size in UNITS if longest >= 2 * size or size == 1)
    marks = svg.ticks(0, longest / seconds, 4 if frame.width < 500 else 6)
    x = svg.linear(0, max(marks[-1], longest / seconds), frame.left, frame.end)

    def place(trial: TrialRecord) -> Place:
        return x(trial.seconds / seconds), y(trial.value or 0.0)

    front = cheapest(view, timed)
    return svg.figure(
        frame.width,
        frame.height,
        f"costs-{class_}",
        f"The {view.metric.label} of each trial, by the time it took",
        f"{len(timed)} trials of {duration(min(t.seconds for t in timed))} to {duration(longest)}. "
        + "No trial is both shorter and better than one of: "
        + ", ".join(f"trial {t.number} ({duration(t.seconds)}, {view.metric.figure(t.value or 0.0)})" for t in front)
        + ".",
        _grid(frame, y.ticks, y, [(x(mark), f"{mark:g}") for mark in marks], unit),
        _default_line(view, y, frame),
        svg.path(list(_stairs([place(trial) for trial in front], frame.end)), "curve front") if front else Markup(""),
        *[_mark(view, trial, place(trial)) for trial in timed],
        _winner(view, place) if view.winner in timed else Markup(""),
        class_=class_,
    )


def best_so_far(view: SearchView) -> list[tuple[int, float]]:
    """Return the trials that were better than all completed ones before, with their scores."""
    found: list[tuple[int, float]] = []
    for trial in view.ran:
        value = number(trial.value)
        if trial.status != "completed" or value is None:
            continue
        if not found or (view.better_by(value, found[-1][1]) or 0.0) > 0:
            found.append((trial.number, value))
    return found


def cheapest(view: SearchView, timed: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the completed trials that none is both shorter and better than, by their time (a Pareto front)."""
    found: list[TrialRecord] = []
    completed = (trial for trial in timed if trial.status == "completed")
    for trial in sorted(completed, key=lambda each: (each.seconds, view.rank(each))):
        if not found or view.rank(trial)[0] < view.rank(found[-1])[0]:
            found.append(trial)
    return found


def beyond(view: SearchView) -> int:
    """Return the number of scores that are drawn at the edge, far worse than the others."""
    places = (_scores(view).place(trial.value) for trial in view.ran)
    return sum(place is not None and not 0 <= place <= 1 for place in places)


class _Down:
    """The vertical axis of scores; what is far beyond the others is drawn at its end."""

    def __init__(self, axis: Axis, frame: Frame) -> None:
        self._axis, self._scale = axis, svg.linear(0, 1, frame.floor, frame.top)
        self.ticks: list[Tick] = axis.ticks(7)

    def __call__(self, value: float | None) -> float:
        place = self._axis.place(value)
        return self._scale(min(1.0, max(0.0, 1.0 if place is None else place)))


def _scores(view: SearchView) -> Axis:
    return score_axis(view, [trial.value for trial in view.ran if trial.value is not None])


def _grid(frame: Frame, ticks: Sequence[Tick], y: _Down, x_ticks: Sequence[tuple[float, str]], name: str) -> Markup:
    at = svg.linear(0, 1, frame.floor, frame.top)
    parts = [svg.line(frame.left, at(tick.place), frame.end, at(tick.place), "rule") for tick in ticks]
    parts += [svg.text(frame.left - 8, at(tick.place) + 4, tick.words, "tick", "end") for tick in ticks]
    parts += [svg.text(place, frame.floor + 17, words, "tick", "middle") for place, words in x_ticks]
    parts += [svg.line(place, frame.floor, place, frame.floor + 4, "axis") for place, _ in x_ticks]
    parts.append(svg.line(frame.left, frame.floor, frame.end, frame.floor, "axis"))
    parts.append(svg.text((frame.left + frame.end) / 2, frame.height - 5, name, "axis-name", "middle"))
    return Markup("").join(parts)


def _default_line(view: SearchView, y: _Down, frame: Frame) -> Markup:
    if view.default is None or number(view.default.value) is None:
        return Markup("")
    height = y(view.default.value)
    line = svg.line(frame.left, height, frame.end, height, "default-line")
    return svg.element("g", svg.element("title", f"defaults: {view.metric.figure(view.default.value or 0.0)}"), line)


def _stairs(points: Sequence[Place], end: float) -> Sequence[Place]:
    """A line that stays at each height until the next point, and goes on to the end."""
    found: list[Place] = []
    for x, y in points:
        if found:
            found.append((x, found[-1][1]))
        found.append((x, y))
    return [*found, (end, found[-1][1])] if found else []


def _mark(view: SearchView, trial: TrialRecord, place: Place) -> Markup:
    radius = 3.0 if len(view.ran) >= CROWD else 4.0
    kind = "pruned" if trial.status == "pruned" else "default" if trial.number == 0 else "completed"
    return svg.element(
        "g",
        svg.element("title", in_words(view, trial)),
        svg.circle(*place, radius + 1 if kind == "default" else radius, f"dot {kind}"),
        svg.circle(*place, 8, "target"),
        class_="point",
    )


def _failed(trial: TrialRecord, x: float, y: float) -> Markup:
    why = (trial.error or "no reason is recorded").strip().split("\n")[0]
    return svg.element(
        "g",
        svg.element("title", shared(f"trial {trial.number}, failed: {why}")),
        svg.line(x - 4, y - 4, x + 4, y + 4, "cross"),
        svg.line(x - 4, y + 4, x + 4, y - 4, "cross"),
        svg.circle(x, y, 8, "target"),
        class_="point",
    )


def _winner(view: SearchView, place: Callable[[TrialRecord], Place]) -> Markup:
    """A ring around the winner; the legend says which one it is."""
    if view.winner is None or number(view.winner.value) is None:
        return Markup("")
    return svg.circle(*place(view.winner), 7.5, "best-ring")


def in_words(view: SearchView, trial: TrialRecord) -> str:
    """Return a trial in one line: ``trial 7: held-out loss 0.3120, 13 s``."""
    score = f": {view.metric.label} {view.metric.figure(trial.value)}" if trial.value is not None else ""
    status = ", defaults" if trial.number == 0 else "" if trial.status == "completed" else f", {trial.status}"
    steps = f" after {trial.steps:,} steps" if trial.status == "pruned" else ""
    return f"trial {trial.number}{status}{score}{steps}{', ' + duration(trial.seconds) if trial.seconds else ''}"


def _described(view: SearchView) -> str:
    found = best_so_far(view)
    if not found:
        return "No trial was completed."
    figure = view.metric.figure
    steps = ", ".join(f"trial {number} {figure(value)}" for number, value in found)
    others = ", ".join(f"{count} {status}" for status, count in view.counts.items())
    return f"{len(view.trials)} trials: {others}. The best so far: {steps}."
