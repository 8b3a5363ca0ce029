"""Figures as people read them: the same on the page, in the model card and in the terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from graft.report.read import Difference, Estimate, number

METRICS = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "exact_match": "Exact match",
    "perplexity": "Perplexity",
    "bleu": "BLEU",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "token_f1": "Token F1",
    "json_valid": "Valid JSON",
    "field_f1": "Field F1",
}

MEANINGS = {
    "accuracy": "the label the model finds likeliest is the right one",
    "macro_f1": "F1 of each label, averaged: rare labels count as much as common ones",
    "exact_match": "the written answer is the reference, word for word",
    "perplexity": "how surprised the model is by the reference; lower is better",
    "bleu": "word sequences shared with the reference, 0 to 100",
    "rouge1": "words shared with the reference",
    "rouge2": "word pairs shared with the reference",
    "rougeL": "longest word sequence shared with the reference",
    "token_f1": "words shared with the reference, precision and recall balanced",
    "json_valid": "the answer parses as JSON",
    "field_f1": "fields with the right value, precision and recall balanced",
}

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


def metric_title(metric: str) -> str:
    return METRICS.get(metric, metric.replace("_", " "))


def score(metric: str, value: float) -> str:
    """Three decimals within 0 to 1, fewer for the metrics that go further."""
    if metric == "perplexity" or (metric not in METRICS and abs(value) > 1):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:.1f}" if metric == "bleu" else f"{value:.3f}"


def interval(metric: str, estimate: Estimate | Difference) -> str:
    """``0.821–0.879``, or nothing when no interval was computed."""
    if estimate.low is None or estimate.high is None:
        return ""
    if isinstance(estimate, Difference):
        return f"{signed(metric, estimate.low)} to {signed(metric, estimate.high)}"
    return f"{score(metric, estimate.low)}{DASH}{score(metric, estimate.high)}"


def signed(metric: str, value: float) -> str:
    figure = score(metric, abs(value))
    if not figure.strip("0."):
        return figure
    return f"{'+' if value > 0 else MINUS}{figure}"


def share(value: Any) -> str:
    found = number(value)
    if found is None:
        return ""
    return f"{found:.2%}" if 0 < found < 0.01 else f"{found:.0%}"


def count(value: Any) -> str:
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
    """The time between two ISO 8601 times."""
    try:
        return duration((datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds())
    except (TypeError, ValueError):
        return ""


def probability(p: float | None) -> str:
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


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
