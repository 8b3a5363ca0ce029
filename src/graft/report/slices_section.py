"""Slices: the scores by the values of a column, on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from graft.data.personal import masked
from graft.evaluation.metrics import metric_info
from graft.evaluation.slices import FEW_ROWS, worst_group
from graft.evaluation.table import p_text
from graft.plain_text import escape_controls
from graft.report import svg
from graft.report.format import interval_text, metric_of
from graft.runs.metric_info import MetricInfo
from graft.runs.view import Estimate, RunView

UNLIKELY = 0.05
"""The adjusted p-value below which a slice is called worse than the others."""
LONGEST_NAME = 48
NAME = 24.0
"""The height of a slice's name, which stands above its whiskers."""


def slice_rows(document: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the headings and the rows of the table for the terminal: each slice with the headline's figures."""
    slices = document["slices"]
    metric = metric_info(document, slices["metric"])
    rows = [_row(metric, group) for group in slices["groups"]]
    first = slices["groups"][0] if slices["groups"] else {"predictors": {}, "differences": []}
    pairs = list(dict.fromkeys((d["from"], d["to"]) for d in first["differences"]))
    names = ["difference" if len(pairs) == 1 else f"{before} → {after}" for before, after in pairs]
    return (metric.label, *first["predictors"], *names), rows


def _row(metric: MetricInfo, group: Mapping[str, Any]) -> tuple[str, ...]:
    figures = [_figure(metric, each.get(metric.name)) for each in group["predictors"].values()]
    differences = [
        f"{metric.figure(d['value'], True)} ({metric.figure(d['low'], True)} to {metric.figure(d['high'], True)})"
        for d in group["differences"]
        if d["metric"] == metric.name
    ]
    return (f"{named(group)} ({group['rows']:,} {'row' if group['rows'] == 1 else 'rows'})", *figures, *differences)


def _figure(metric: MetricInfo, found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{metric.figure(found['value'])} ({metric.figure(found['low'])}–{metric.figure(found['high'])})"


def named(group: Mapping[str, Any]) -> str:
    """Return ``language = kn``."""
    return f"{group['column']} = {group['value']}"


def worst_sentence(document: Mapping[str, Any]) -> str:
    """Return what is said of the worst slice, with how far chance among so many slices explains it."""
    slices = document["slices"]
    metric = metric_info(document, slices["metric"])
    tested = [group for group in slices["groups"] if group.get("rest")]
    worst = worst_group(slices, metric.lower_is_better)
    if worst is None:
        return f"No slice is compared with the other rows: that takes {FEW_ROWS} rows on both sides."
    who, rest = slices["predictor"], worst["rest"]
    value = _figure(metric, worst["predictors"][who][metric.name])
    change = f"{metric.figure(rest['value'], True)} ({metric.figure(rest['low'], True)} to "
    change += f"{metric.figure(rest['high'], True)})"
    corrected = f", {p_text(rest['adjusted_p'])} after Holm's correction for {len(tested)} slices"
    sure = rest["adjusted_p"] < UNLIKELY and (rest["value"] > 0) == metric.lower_is_better
    said = "is worse than the other rows" if sure else "may be the worst by chance"
    return (
        f"{named(worst)} {said}: {who} has {metric.label} {value} on its {worst['rows']:,} rows, a difference of "
        f"{change} to the others{corrected}."
    )


def further_notes(document: Mapping[str, Any]) -> list[str]:
    """Return what a reader of slices should know: those with few rows, and columns without slices."""
    slices = document["slices"]
    small = [named(group) for group in slices["groups"] if group["rows"] < FEW_ROWS]
    notes = [f"Too few rows to judge by (under {FEW_ROWS}): {', '.join(small)}."] if small else []
    for column in slices.get("unsliced", ()):
        notes.append(f"{column} has no slices: nearly each row has a value of its own.")
    return notes


def slices_content(view: RunView) -> dict[str, Any] | None:
    """Return what the section of the report shows; None without slices."""
    if view.evaluation.slices is None or not view.evaluation.slices.groups:
        return None
    document = _for_the_page(view.evaluation.document())
    metric = metric_of(view, view.evaluation.slices.metric)
    headings, rows = slice_rows(document)
    return {
        "headings": headings[1:],
        "metric": metric.heading,
        "rows": [{"name": name, "cells": [_split(cell) for cell in cells]} for name, *cells in rows],
        "worst": worst_sentence(document),
        "notes": further_notes(document),
        "plot": slice_plot(view, metric, [named(group) for group in document["slices"]["groups"]]),
        "predictors": list(view.evaluation.slices.groups[0].predictors),
    }


def _for_the_page(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the values of slices as pages show texts of rows: without personal data."""
    slices = document["slices"]
    groups = [
        {**group, **{key: masked(escape_controls(group[key])) for key in ("column", "value")}}
        for group in slices["groups"]
    ]
    return {**document, "slices": {**slices, "groups": groups}}


def _split(cell: str) -> tuple[str, str]:
    """The value, and the interval that stands below it."""
    value, _, interval = cell.partition(" (")
    return value, interval.removesuffix(")")


def slice_plot(view: RunView, metric: MetricInfo, labels: Sequence[str]) -> Markup | None:
    """Draw a dot with a whisker for each slice and predictor, on the scale of the metric or of the values.

    Args:
        view: The run.
        metric: The headline.
        labels: The names of the slices.
    """
    assert view.evaluation.slices is not None
    groups = view.evaluation.slices.groups
    found = [each[metric.name] for group in groups for each in group.predictors.values() if metric.name in each]
    bounds = [side for each in found for side in (each.value, each.low, each.high) if side is not None]
    if not bounds:
        return None
    whole = metric.scale is not None and min(bounds) >= 0 and max(bounds) <= metric.scale
    low, high = (0.0, metric.scale or 1.0) if whole else (min(bounds), max(bounds))
    marks = svg.ticks(low, high, 4)
    step, names = 14.0, len(groups[0].predictors)
    width, left, top, row = 400.0, 14.0, 10.0, NAME + step * names
    floor = top + row * len(groups)
    x = svg.linear(marks[0], marks[-1], left, width - 20)
    parts = [svg.line(x(tick), top, x(tick), floor, "rule") for tick in marks]
    parts += [svg.text(x(tick), floor + 18, metric.figure(tick), "tick", "middle") for tick in marks]
    for index, (group, label) in enumerate(zip(groups, labels, strict=True)):
        above = top + row * index
        parts.append(svg.text(left, above + 14, _short(label), "row-name"))
        for place, (name, each) in enumerate(group.predictors.items()):
            if metric.name in each:
                parts.append(_whisker(name, metric, each[metric.name], x, above + NAME + (place + 0.3) * step))
    described = "; ".join(
        f"{label}, {name}: {metric.figure(each[metric.name].value)}"
        for label, group in zip(labels, groups, strict=True)
        for name, each in group.predictors.items()
        if metric.name in each
    )
    title = f"{metric.heading} by slice, with 95 % intervals"
    return svg.figure(width, floor + 28, "slice-plot", title, described, *parts)


def _whisker(name: str, metric: MetricInfo, estimate: Estimate, x: svg.Scale, y: float) -> Markup:
    kind = name if name in ("base", "tuned") else "other"
    interval = interval_text(metric, estimate)
    parts = [svg.element("title", f"{name}: {metric.figure(estimate.value)}{f' ({interval})' if interval else ''}")]
    if estimate.low is not None and estimate.high is not None:
        parts.append(svg.line(x(estimate.low), y, x(estimate.high), y, f"whisker {kind}"))
    parts.append(svg.circle(x(estimate.value), y, 4.5, f"dot {kind}"))
    return svg.element("g", *parts, class_="point")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
