"""Just enough SVG: elements, scales and ticks. Text is escaped, colors come from the page's classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

Scale = Callable[[float], float]


def element(tag: str, *children: str | Markup, **attributes: str | float | None) -> Markup:
    """``element("text", "a < b", class_="tick", text_anchor="end")``; strings are escaped, None is left out."""
    written = Markup("").join(
        Markup(' {}="{}"').format(_attribute(name), _plain(value))
        for name, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(tag, written, Markup("").join(children))


def figure(
    width: float, height: float, ident: str, title: str, description: str, *children: Markup, class_: str = ""
) -> Markup:
    """The ``<svg>``, with its title and description where screen readers look for them."""
    return element(
        "svg",
        element("title", title, id=f"{ident}-title"),
        element("desc", description, id=f"{ident}-desc"),
        *children,
        viewBox=f"0 0 {_plain(width)} {_plain(height)}",
        class_=f"chart {class_}".strip(),
        role="img",
        aria_labelledby=f"{ident}-title {ident}-desc",
    )


def text(x: float, y: float, words: str, class_: str, anchor: str = "start") -> Markup:
    """A text at (x, y); ``anchor`` is start, middle or end."""
    return element("text", words, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def circle(x: float, y: float, radius: float, class_: str) -> Markup:
    """A circle around (x, y)."""
    return element("circle", cx=x, cy=y, r=radius, class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A line through the points."""
    steps = " ".join(f"{'M' if i == 0 else 'L'}{_plain(x)} {_plain(y)}" for i, (x, y) in enumerate(points))
    return element("path", d=steps, class_=class_)


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """``low`` is drawn at ``start``, ``high`` at ``end``."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """As ``linear``, for positive values."""
    inner = linear(math.log(low), math.log(high), start, end)
    return lambda value: inner(math.log(max(value, low)))


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers (1, 2, 5 times a power of ten) that cover ``low`` to ``high``, about ``wanted`` of them."""
    raw = ((high - low) or abs(high) or 1.0) / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 times powers of ten from below ``low`` to above ``high``."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    found = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    below = max((tick for tick in found if tick <= low), default=found[0])
    above = min((tick for tick in found if tick >= high), default=found[-1])
    return [tick for tick in found if below <= tick <= above]


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _plain(value: str | float) -> str:
    """At most two decimals: a hundredth of a pixel."""
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
