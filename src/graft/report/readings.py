"""The value under the pointer: a band over each step of a chart that shows a line, dots and a text while it is hovered.

The style shows and hides them, so that they need no script; a ``<title>`` says the same to a screen reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from graft.report import svg
from graft.report.frame import Frame

LETTER = 6.7
"""About the width of a letter of a reading, in pixels of the drawing."""


class Reading(NamedTuple):
    """What is read at a step: the words, and the values that get a dot, each with the class of its curve."""

    step: float
    words: str
    dots: Sequence[tuple[float, str]]


def readings(read: Sequence[Reading], x: svg.Scale, y: svg.Scale, area: Frame) -> list[Markup]:
    """Return a group for each reading; each band reaches halfway to its neighbors."""
    at = [x(reading.step) for reading in read]
    edges = [area.left, *[(a + b) / 2 for a, b in pairwise(at)], area.end]
    return [_group(reading, at[index], edges[index], edges[index + 1], y, area) for index, reading in enumerate(read)]


def _group(reading: Reading, at: float, start: float, end: float, y: svg.Scale, area: Frame) -> Markup:
    half = len(reading.words) * LETTER / 2
    middle = min(max(at, area.left + half), max(area.end - half, area.left + half))
    band = svg.element(
        "rect", x=start, y=area.top, width=max(end - start, 0.0), height=area.floor - area.top, class_="sight-area"
    )
    shown = (
        svg.line(at, area.top, at, area.floor, "cursor"),
        *[svg.circle(at, y(value), 4, f"dot {kind}") for value, kind in reading.dots],
        svg.text(middle, area.top - 7, reading.words, "value", "middle"),
    )
    return svg.element(
        "g", svg.element("title", reading.words), band, svg.element("g", *shown, class_="reading"), class_="sight"
    )
