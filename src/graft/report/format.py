"""Figures as people read them: the same on the page, in the model card and in the terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from graft.evaluation import table
from graft.evaluation.table import NAMES
from graft.runs.view import Difference, Estimate, number

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
    "label_f1": "labels that are right, precision and recall balanced",
    "entity_f1": "entities found whole and of the right kind, precision and recall balanced",
    "entity_precision": "of the entities given, those that are right",
    "entity_recall": "of the entities wanted, those that were found",
    "tag_accuracy": "words with the right tag",
    "pearson": "how the likeness of pairs goes with their labels, −1 to 1",
    "spearman": "how the order of pairs by likeness goes with that by label, −1 to 1",
}

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


def metric_title(metric: str) -> str:
    name = NAMES.get(metric, metric.replace("_", " "))
    return name[:1].upper() + name[1:]


def score(metric: str, value: float) -> str:
    """As the terminal's table has it: three decimals for shares, two for what goes further."""
    return table.figure(metric, value)


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
