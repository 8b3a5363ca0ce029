"""Whether a model is better than what costs nothing: always the same answer, TF-IDF, or the input as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graft.data.baselines import baseline_phrase, baseline_title
from graft.runs.metric_info import MetricInfo

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Beaten:
    """How a model compares with a baseline.

    Attributes:
        name: The baseline.
        value: The baseline's score.
        difference: The paired difference from it to the model: ``value``, ``low``, ``high`` and ``p``.
        judgment: ``better`` or ``worse`` where the interval leaves out zero, else ``open``; of the model.
    """

    name: str
    value: float
    difference: Figures
    judgment: str


def judged(metric: MetricInfo, difference: Figures) -> str:
    """Return ``better`` or ``worse`` where the interval of a difference leaves out zero, else ``open``."""
    low, high = difference.get("low"), difference.get("high")
    if low is None or high is None or low <= 0 <= high:
        return "open"
    return "better" if (low > 0) != metric.lower_is_better else "worse"


def against_baselines(document: Figures, metric: MetricInfo, predictor: str) -> list[Beaten]:
    """Return how ``predictor`` compares with each baseline in ``metric``, the best baseline first.

    Args:
        document: The content of evaluation.json; empty for one of a version that did not compare them.
        metric: The metric.
        predictor: The model's name in it.
    """
    scores = document.get("baselines") or {}
    found = [
        Beaten(each["from"], scores[each["from"]][metric.name]["value"], each, judged(metric, each))
        for each in document.get("baseline_differences") or ()
        if each["metric"] == metric.name and each["to"] == predictor and metric.name in scores.get(each["from"], ())
    ]
    return sorted(found, key=lambda one: one.value, reverse=not metric.lower_is_better)


def unbeaten(found: Sequence[Beaten]) -> list[Beaten]:
    """Return those that the model is not proven to be better than; those that it is worse than first."""
    return sorted((one for one in found if one.judgment != "better"), key=lambda one: one.judgment != "worse")


def clause(found: Sequence[Beaten]) -> str:
    """Return what the model is not better than: ``worse than TF-IDF``; an empty text where it beats every baseline."""
    left = unbeaten(found)
    parts = [
        (said, [baseline_phrase(one.name) for one in left if one.judgment == judgment])
        for judgment, said in (("worse", "worse than "), ("open", "not measurably better than "))
    ]
    return " and ".join(said + " or ".join(names) for said, names in parts if names)


def best_value(found: Sequence[Beaten], metric: MetricInfo) -> str:
    """Return ``TF-IDF 0.732``: the best baseline, or the best of those that the model does not beat."""
    first = next(iter(unbeaten(found) or found), None)
    return f"{baseline_title(first.name)} {metric.figure(first.value)}" if first is not None else ""
