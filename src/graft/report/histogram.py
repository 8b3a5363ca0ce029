"""A histogram as an SVG drawing."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from graft.report import svg
from graft.report.format import figure
from graft.report.frame import Frame

FRAMES = {"wide": Frame(600, 190, left=52, bottom=36), "narrow": Frame(356, 190, left=46, right=10, bottom=36)}
"""For wide and for narrow windows; the style shows one of them."""


def histograms(counts: Sequence[int], edges: Sequence[float], ident: str, title: str, unit: str) -> list[Markup]:
    """Return the same histogram for wide and for narrow windows.

    Args:
        counts: The number of rows in each bin.
        edges: The lower edge of each bin, and the upper one of the last.
        ident: The name of the drawing in the page.
        title: What is counted.
        unit: What the edges are of, such as "characters".
    """
    return [_histogram(counts, edges, FRAMES[name], f"{ident}-{name}", title, unit, name) for name in FRAMES]


def _histogram(
    counts: Sequence[int], edges: Sequence[float], frame: Frame, ident: str, title: str, unit: str, class_: str
) -> Markup:
    most = max(counts, default=0) or 1
    x = svg.linear(edges[0], edges[-1], frame.left, frame.end)
    y_ticks = svg.ticks(0, most, 3)
    y = svg.linear(0, y_ticks[-1], frame.floor, frame.top)
    x_ticks = [
        tick for tick in svg.ticks(edges[0], edges[-1], 4 if frame.width < 500 else 7) if edges[0] <= tick <= edges[-1]
    ]
    return svg.figure(
        frame.width,
        frame.height,
        ident,
        title,
        f"{sum(counts):,} rows from {figure(edges[0])} to {figure(edges[-1])} {unit}.",
        *[svg.line(frame.left, y(tick), frame.end, y(tick), "rule") for tick in y_ticks],
        *[svg.text(frame.left - 8, y(tick) + 4, figure(tick), "tick", "end") for tick in y_ticks],
        *[_bar(count, edges[n], edges[n + 1], x, y, frame, unit) for n, count in enumerate(counts) if count],
        *[svg.text(x(tick), frame.floor + 16, figure(tick), "tick", "middle") for tick in x_ticks],
        svg.line(frame.left, frame.floor, frame.end, frame.floor, "axis"),
        svg.text((frame.left + frame.end) / 2, frame.height - 4, unit, "axis-name", "middle"),
        class_=class_,
    )


def _bar(count: int, low: float, high: float, x: svg.Scale, y: svg.Scale, frame: Frame, unit: str) -> Markup:
    top = min(y(count), frame.floor - 1.5)  # a single row is seen, too
    width = max(1.0, x(high) - x(low) - 1)
    return svg.element(
        "rect",
        svg.element("title", f"{figure(low)} to {figure(high)} {unit}: {count:,}"),
        x=x(low),
        y=top,
        width=width,
        height=frame.floor - top,
        class_="bin",
    )
