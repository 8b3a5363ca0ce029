"""Numbers, durations and times as text: the same on the page, in the model card and in the terminal."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from graft.evaluation import table
from graft.evaluation.metrics import metric_info
from graft.runs.metric_info import MetricInfo
from graft.runs.view import Difference, Estimate, RunView, number

DASH = "\N{EN DASH}"


def metric_of(view: RunView, name: str) -> MetricInfo:
    """Return what a metric of the run's evaluation says of itself."""
    evaluation = view.evaluation
    return metric_info({"metrics": evaluation.metrics, "lower_is_better": evaluation.lower_is_better}, name)


def interval_text(metric: MetricInfo, estimate: Estimate | Difference) -> str:
    """``0.821–0.879``, or nothing when no interval was computed."""
    if estimate.low is None or estimate.high is None:
        return ""
    if isinstance(estimate, Difference):
        return f"{signed(metric, estimate.low)} to {signed(metric, estimate.high)}"
    return f"{metric.figure(estimate.low)}{DASH}{metric.figure(estimate.high)}"


def signed(metric: MetricInfo, value: float) -> str:
    """Return a difference with its sign: ``+0.247``; without one if it rounds to zero."""
    return metric.figure(value, True)


def share(value: Any) -> str:
    """Return a fraction as a percentage."""
    found = number(value)
    if found is None:
        return ""
    return f"{found:.2%}" if 0 < found < 0.01 else f"{found:.0%}"


def count(value: Any) -> str:
    """Return a number without decimals, with commas for thousands."""
    found = number(value)
    return "" if found is None else f"{found:,.0f}"


def figure(value: Any) -> str:
    """A number with a sensible number of digits."""
    found = number(value)
    if found is None:
        return "" if value is None else str(value)
    if found == int(found) and abs(found) < 1e15:
        return f"{found:,.0f}"
    return f"{found:,.4g}"


def duration(seconds: Any) -> str:
    """Return seconds as ``3 min 5 s``."""
    found = number(seconds)
    if found is None:
        return ""
    if found < 60:
        return f"{found:.0f} s"
    minutes, rest = divmod(round(found), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def megabytes(value: Any) -> str:
    """Return megabytes as ``512 MB`` or ``3.3 GB``."""
    found = number(value)
    if found is None:
        return ""
    return f"{found / 1024:.1f} GB" if found >= 1024 else f"{found:.0f} MB"


def when(iso: Any) -> str:
    """``2026-05-04 10:21 UTC`` of an ISO 8601 time; anything else as it is."""
    if not isinstance(iso, str):
        return ""
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    zone = moment.tzname() or ""
    return f"{moment:%Y-%m-%d %H:%M} {zone}".strip()


def took(started: Any, finished: Any) -> str:
    """The time between two ISO 8601 times; none where the clock was set back meanwhile."""
    try:
        seconds = (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()
        return duration(seconds) if seconds >= 0 else ""
    except (TypeError, ValueError):
        return ""


def probability(p: float | None) -> str:
    """Return ``p = 0.24``, or ``p < 0.01``."""
    return "" if p is None else table.p_text(p)


def listed(value: Any) -> str:
    """A setting's value as one would type it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(listed(item) for item in value) if value else "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {listed(item)}" for name, item in value.items()) if value else "none"
    if isinstance(value, float):
        return figure(value)
    return str(value)


def unbroken(sentence: str) -> str:
    """Return ``sentence`` with no-break spaces before numbers, percent signs and arrows: none begins a line."""
    return re.sub(r" (?=[+\N{MINUS SIGN}-]?\d|%|\N{RIGHTWARDS ARROW}|=|<)", "\N{NO-BREAK SPACE}", sentence)
