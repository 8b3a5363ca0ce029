"""An evaluation for people: a table's rows, one sentence, and the headline for the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graft.data.baselines import baseline_title
from graft.evaluation.metrics import metric_info
from graft.runs.metric_info import MetricInfo

FEW_ROWS = 30
"""With fewer rows the sentence warns."""
Document = Mapping[str, Any]


def rows(document: Document) -> list[tuple[str, ...]]:
    """Return a row for each metric: its label, and a cell for each predictor and each difference.

    Cells hold the value with its 95 % interval, those of differences also p.
    """
    found = []
    for name in metric_names(document):
        metric = metric_info(document, name)
        cells = [_with_interval(metric, figures[name]) for figures in document["predictors"].values()]
        differences = [_difference(metric, d) for d in document["differences"] if d["metric"] == name]
        found.append((metric.label, *cells, *differences))
    return found


def to_beat(document: Document) -> str:
    """Return a sentence with the headline metric of each baseline; an empty text where there are none.

    The table has no columns for them: with four predictors it would be wider than most terminals.
    """
    metric = metric_info(document, metric_names(document)[0])
    baselines = (document.get("baselines") or {}).items()
    figures = [
        f"{baseline_title(name)} {_with_interval(metric, f[metric.name])}" for name, f in baselines if metric.name in f
    ]
    return f"Scores to beat ({metric.label}): {', '.join(figures)}." if figures else ""


def metric_names(document: Document) -> list[str]:
    """Return the names of the metrics that were computed, the headline first."""
    return list(next(iter(document["predictors"].values())))


def metric_references(document: Document) -> list[str]:
    """Return how each metric is asked for again: by name, or a user's own by ``path/to/file.py:name``."""
    described = document.get("metrics") or {}
    return [described.get(name, {}).get("reference", name) for name in metric_names(document)]


def _with_interval(metric: MetricInfo, found: Mapping[str, float]) -> str:
    return f"{metric.figure(found['value'])} ({metric.figure(found['low'])}–{metric.figure(found['high'])})"


def _difference(metric: MetricInfo, found: Mapping[str, Any]) -> str:
    return f"{metric.figure(found['value'], True)} ({_bounds(metric, found)}), {p_text(found['p'])}"


def _bounds(metric: MetricInfo, found: Mapping[str, Any]) -> str:
    return f"{metric.figure(found['low'], True)} to {metric.figure(found['high'], True)}"


def p_text(p: float) -> str:
    """Return a p-value as text, such as ``p < 0.01`` or ``p = 0.24``."""
    return "p < 0.01" if p < 0.01 else f"p = {p:.2f}"


def headline(document: Document) -> dict[str, Any]:
    """Return the manifest's scores: the first metric's value for each predictor, n, the difference's interval and p."""
    metric = metric_names(document)[0]
    found: dict[str, Any] = {"metric": metric}
    for name, figures in document["predictors"].items():
        found |= {name: figures[metric]["value"], "n": figures[metric]["n"]}
    for difference in document["differences"]:
        if difference["metric"] == metric:
            found |= {name: difference[name] for name in ("low", "high", "p")}
            break
    return found


def verdict(document: Document) -> str:
    """Return one sentence on the headline: better, worse, or not measurably different."""
    metric = metric_info(document, metric_names(document)[0])
    predictors = document["predictors"]
    difference = next((d for d in document["differences"] if d["metric"] == metric.name), None)
    if difference is None:
        only, figures = next(iter(predictors.items()))
        found = figures[metric.name]
        return f"{only}: {metric.label} {_with_interval(metric, found)}, n = {found['n']}."
    before, after = (predictors[difference[side]][metric.name] for side in ("from", "to"))
    change = f"{metric.figure(before['value'])} → {metric.figure(after['value'])}"
    few = "" if before["n"] >= FEW_ROWS else " That is too few rows for a reliable result."
    than = " than the run that it continues" if difference["from"] == "previous" else ""
    judgment = _judgment(metric, difference, than)
    return (
        f"The {difference['to']} model is {judgment}: {metric.label} {change} (95 % interval of "
        f"the difference {_bounds(metric, difference)}, {p_text(difference['p'])}), n = {before['n']}.{few}"
    )


def without_leaked(document: Document) -> str:
    """Return a sentence on the headline without the rows that the training data has; empty where it has none."""
    found = document.get("without_leaked")
    if not found:
        return ""
    known, near, rest = found["known"], found["near"], found["rows"]
    kinds = ((known, "a prompt of the training rows"), (near, "a near duplicate in the training rows"))
    parts = [f"{number:,} {'has' if number == 1 else 'have'} {what}" for number, what in kinds if number]
    count, verb = known + near, "is" if known + near == 1 else "are"
    what = f"{count:,} of {count + rest:,} rows {verb} not new to the tuned model ({', '.join(parts)})"
    if not rest:
        return f"{what}: no row is left to judge by."
    metric = metric_info(document, metric_names(document)[0])
    figures = ((name, each[metric.name]["value"]) for name, each in found["predictors"].items())
    scores = ", ".join(f"{name} {metric.figure(value)}" for name, value in figures)
    difference = next((d for d in found["differences"] if d["metric"] == metric.name), None)
    change = f", difference {_difference(metric, difference)}" if difference else ""
    return f"{what}. Without them: {metric.label} {scores}{change}, n = {rest:,}."


def _judgment(metric: MetricInfo, difference: Mapping[str, Any], than: str) -> str:
    if difference["low"] <= 0 <= difference["high"]:
        return f"not measurably different{than.replace(' than ', ' from ', 1)}"
    return f"{'better' if (difference['value'] < 0) == metric.lower_is_better else 'worse'}{than}"
