"""An evaluation for people: a table's rows, one sentence, and the headline for the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graft.data.baselines import baseline_title
from graft.evaluation.metrics import metric_info
from graft.evaluation.unbeaten import against_baselines, best_value, clause, judged, unbeaten
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
    model = judged_predictor(document)
    left = [
        f" From {baseline_title(one.name)} to {model}: {_difference(metric, one.difference)}."
        for one in unbeaten(against_baselines(document, metric, model))
    ]
    return f"Scores to beat ({metric.label}): {', '.join(figures)}.{''.join(left)}" if figures else ""


def judged_predictor(document: Document) -> str:
    """Return the name of the predictor that the verdict is on."""
    metric = metric_names(document)[0]
    difference = next((d for d in document.get("differences") or () if d["metric"] == metric), None)
    return str(difference["to"] if difference else next(iter(document["predictors"])))


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
    """Return the manifest's scores: the first metric's value for each predictor, n, the difference's interval and p.

    Where there are baselines, ``baselines`` has their values, and ``unbeaten`` those that the model is not proven to
    be better than.
    """
    metric = metric_names(document)[0]
    found: dict[str, Any] = {"metric": metric}
    for name, figures in document["predictors"].items():
        found |= {name: figures[metric]["value"], "n": figures[metric]["n"]}
    for difference in document["differences"]:
        if difference["metric"] == metric:
            found |= {name: difference[name] for name in ("low", "high", "p")}
            break
    beaten = against_baselines(document, metric_info(document, metric), judged_predictor(document))
    if beaten:
        found["baselines"] = {one.name: one.value for one in beaten}
        found["unbeaten"] = [one.name for one in unbeaten(beaten)]
    return found


def verdict(document: Document) -> str:
    """Return one sentence on the headline: better, worse, or not measurably different; also than the baselines."""
    metric = metric_info(document, metric_names(document)[0])
    predictors = document["predictors"]
    difference = next((d for d in document["differences"] if d["metric"] == metric.name), None)
    beaten = against_baselines(document, metric, judged_predictor(document))
    worse = clause(beaten)
    if difference is None:
        only, figures = next(iter(predictors.items()))
        found = figures[metric.name]
        than = f" It is {worse}: {best_value(beaten, metric)}." if worse else ""
        return f"{only}: {metric.label} {_with_interval(metric, found)}, n = {found['n']}.{than}"
    before, after = (predictors[difference[side]][metric.name] for side in ("from", "to"))
    change = f"{metric.figure(before['value'])} → {metric.figure(after['value'])}"
    few = "" if before["n"] >= FEW_ROWS else " That is too few rows for a reliable result."
    judgment = _judgment(metric, difference, bool(beaten), worse)
    change = ", ".join(filter(None, (change, best_value(beaten, metric))))
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


_PREDICTORS = {"base": "its base", "previous": "the run that it continues"}


def _judgment(metric: MetricInfo, difference: Mapping[str, Any], has_baselines: bool, unbeaten: str) -> str:
    """Return ``better than its base, but not measurably better than TF-IDF``.

    Args:
        metric: The headline.
        difference: The difference from another predictor.
        has_baselines: Whether there are baselines.
        unbeaten: What the model is not better than, of these.
    """
    found = judged(metric, difference)
    other = _PREDICTORS.get(difference["from"], difference["from"])
    named = has_baselines or difference["from"] == "previous"
    link = {"open": " from ", "better": " than ", "worse": " than "}[found]
    said = {"open": "not measurably different"}.get(found, found) + (f"{link}{other}" if named else "")
    if unbeaten:
        return f"{said}, {'but' if found == 'better' else 'and'} {unbeaten}"
    return f"{said} and the baselines" if has_baselines and found == "better" else said
