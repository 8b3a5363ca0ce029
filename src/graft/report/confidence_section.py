"""How sure a model is of its labels: on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from graft.report import svg
from graft.runs.confidence_record import (
    CalibrationRecord,
    ConfidenceRecord,
    PredictorConfidenceRecord,
    ShareRecord,
    ThresholdRecord,
)
from graft.runs.record import validate
from graft.runs.view import RunView

HALF = 0.5
LEAST_GAP = 0.01
"""A smaller difference between confidence and accuracy has no name."""


class Row(NamedTuple):
    """A line of the section's table, as text."""

    name: str
    accuracy: str
    confidence: str
    ece: str
    chance: str
    nll: str


def confidence_sentences(document: Mapping[str, Any], name: str | None = None) -> list[str]:
    """Return what is said of one predictor: of ``name``, or of the last whose labels were scored."""
    record = validate(ConfidenceRecord, dict(document["confidence"]), "confidence")
    return _sentences(record, _subject(record, name))


def _subject(record: ConfidenceRecord, name: str | None = None) -> str:
    names = list(record.predictors)
    return next((one for one in (name, "tuned") if one in names), names[-1])


def _sentences(record: ConfidenceRecord, name: str) -> list[str]:
    found = record.predictors[name]
    gap = found.confidence - found.accuracy
    sure = "over-confident" if gap > 0 else "under-confident"
    named = f": {sure} by {abs(gap):.3f}" if abs(gap) >= LEAST_GAP else ""
    said = [
        f"{name} is right in {found.accuracy:.3f} of {found.rows:,} rows and {found.confidence:.3f} sure on average"
        f"{named}.",
        f"Its expected calibration error (ECE) is {found.ece:.3f}, in {record.bins} bins of {record.binning}; of "
        f"perfectly calibrated models 95 % stay below {found.ece_by_chance:.3f} on as many rows.",
    ]
    if found.scaled is not None:
        said.append(
            f"A temperature of {found.scaled.temperature:.2f} takes ECE from {found.ece:.3f} to "
            f"{found.scaled.ece:.3f}, and the negative log-likelihood from {found.nll:.3f} to {found.scaled.nll:.3f} "
            f"nats; each row is scaled by what the other {found.scaled.folds - 1} of {found.scaled.folds} folds give."
        )
    half = next((point for point in found.curve if point.coverage.value >= HALF), None)
    if half is not None and half.accuracy is not None:
        said.append(f"The surest {half.coverage.value:.0%} of the rows are right in {_interval(half.accuracy)}.")
    if found.abstaining is not None:
        said.append(_abstaining(name, found.abstaining, record.temperature_scaling and found.scaled is not None))
    return said


def _abstaining(name: str, found: ThresholdRecord, scaled: bool) -> str:
    after = " after scaling" if scaled else ""
    where = f"Where it is at least {found.threshold:g} sure{after}, {name} answers"
    if found.accuracy is None:
        return f"{where} no row."
    return f"{where} {_interval(found.coverage)} of the rows, and is right in {_interval(found.accuracy)} of these."


def _interval(found: ShareRecord) -> str:
    return f"{found.value:.3f} ({found.low:.3f}–{found.high:.3f})"


def confidence_content(view: RunView) -> dict[str, Any] | None:
    """Return what the section of the report shows; None where no labels were scored."""
    record = view.evaluation.confidence
    if record is None or not record.predictors:
        return None
    scaled = record.temperature_scaling and all(each.scaled is not None for each in record.predictors.values())
    shown: dict[str, CalibrationRecord] = {
        name: each.scaled if scaled and each.scaled is not None else each for name, each in record.predictors.items()
    }
    return {
        "sentences": _sentences(record, _subject(record)),
        "predictors": [(name, _kind(name)) for name in record.predictors],
        "reliability": reliability_plot(shown),
        "curve": coverage_plot(record.predictors, record.abstain_below),
        "rows": [row for name, each in record.predictors.items() for row in _rows(name, each)],
        "scaled": scaled,
        "below": None if record.abstain_below is None else f"{record.abstain_below:g}",
    }


def _rows(name: str, found: PredictorConfidenceRecord) -> list[Row]:
    rows = [_row(name, found.accuracy, found)]
    if found.scaled is not None:
        rows.append(_row(f"{name}, temperature {found.scaled.temperature:.2f}", found.accuracy, found.scaled))
    return rows


def _row(name: str, accuracy: float, found: CalibrationRecord) -> Row:
    figures = (accuracy, found.confidence, found.ece, found.ece_by_chance, found.nll)
    return Row(name, *(f"{value:.3f}" for value in figures))


def _kind(name: str) -> str:
    return name if name in ("base", "tuned") else "other"


WIDTH, HEIGHT, LEFT, TOP, FLOOR = 400.0, 300.0, 44.0, 12.0, 258.0
END = WIDTH - 14


def _axes(x: svg.Scale, y: svg.Scale, y_marks: Sequence[float], x_name: str) -> list[Markup]:
    """Both axes of shares, with their names: that of y stands above the drawing's left edge."""
    parts = [svg.line(LEFT, y(mark), END, y(mark), "rule") for mark in y_marks]
    parts += [svg.text(LEFT - 8, y(mark) + 4, f"{mark:.3g}", "tick", "end") for mark in y_marks]
    parts += [svg.text(x(mark / 4), FLOOR + 17, f"{mark / 4:g}", "tick", "middle") for mark in range(5)]
    parts += [svg.line(x(mark / 4), FLOOR, x(mark / 4), FLOOR + 4, "axis") for mark in range(5)]
    parts.append(svg.line(LEFT, FLOOR, END, FLOOR, "axis"))
    parts.append(svg.text((LEFT + END) / 2, HEIGHT - 5, x_name, "axis-name", "middle"))
    return parts


def reliability_plot(predictors: Mapping[str, CalibrationRecord]) -> Markup:
    """Draw the accuracy of each bin over its mean confidence; on the diagonal both are equal."""
    x, y = svg.linear(0, 1, LEFT, END), svg.linear(0, 1, FLOOR, TOP)
    parts = _axes(x, y, [mark / 4 for mark in range(5)], "confidence")
    parts.append(svg.line(x(0), y(0), x(1), y(1), "diagonal"))
    for name, found in predictors.items():
        kind = _kind(name)
        for one in found.bins:
            at = x(one.confidence)
            words = f"{name}, {one.above:.2f} to {one.to:.2f} sure: {one.accuracy:.3f} of {one.rows:,} rows are right"
            whisker = svg.line(at, y(one.low), at, y(one.high), f"whisker thin {kind}")
            dot = svg.circle(at, y(one.accuracy), 4.5, f"dot {kind}")
            parts.append(svg.element("g", svg.element("title", words), whisker, dot, class_="point"))
    said = "; ".join(f"{name}: expected calibration error {found.ece:.3f}" for name, found in predictors.items())
    return svg.figure(WIDTH, HEIGHT, "reliability", "Accuracy by confidence, with 95 % intervals", said, *parts)


def coverage_plot(predictors: Mapping[str, PredictorConfidenceRecord], below: float | None) -> Markup:
    """Draw the accuracy of the surest rows over their share, and where ``--abstain_below`` is on it."""
    points = {
        name: [(point, point.accuracy) for point in found.curve if point.accuracy is not None]
        for name, found in predictors.items()
    }
    lows = [share.low for each in points.values() for _, share in each]
    marks = [mark for mark in svg.ticks(min(lows, default=0.0), 1.0, 5) if 0 <= mark <= 1]
    x, y = svg.linear(0, 1, LEFT, END), svg.linear(marks[0], 1, FLOOR, TOP)
    parts = _axes(x, y, marks, "share of the rows that is answered")
    for name, each in points.items():
        kind = _kind(name)
        edge = [(x(p.coverage.value), y(s.high)) for p, s in each] + [
            (x(p.coverage.value), y(s.low)) for p, s in reversed(each)
        ]
        parts.append(svg.path(edge, f"band {kind}"))
        parts.append(svg.path([(x(p.coverage.value), y(s.value)) for p, s in each], f"curve of-{kind}"))
        for point, share in each:
            covered = f"{point.coverage.value:.0%} of the rows, {_interval(share)}"
            words = f"{name}, at least {point.threshold:.3f} sure: {covered}"
            target = svg.circle(x(point.coverage.value), y(share.value), 3, f"dot {kind}")
            parts.append(svg.element("g", svg.element("title", words), target, class_="point"))
        parts += _abstain_mark(predictors[name].abstaining, x, y)
    ends = ((name, each[0][1].value, each[-1][1].value) for name, each in points.items() if each)
    said = "; ".join(f"{name}: {first:.3f} of the surest rows, {last:.3f} of all" for name, first, last in ends)
    title = "Accuracy by the share of rows that is answered" + (f", threshold {below:g}" if below is not None else "")
    return svg.figure(WIDTH, HEIGHT, "coverage", title, said, *parts)


def _abstain_mark(found: ThresholdRecord | None, x: svg.Scale, y: svg.Scale) -> list[Markup]:
    if found is None or found.accuracy is None:
        return []
    return [svg.circle(x(found.coverage.value), y(found.accuracy.value), 7, "best-ring")]
