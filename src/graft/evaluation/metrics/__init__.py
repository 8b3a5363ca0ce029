"""The metrics by name, and which of them fit which data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from graft.data.words import length_in_words
from graft.errors import GraftError, Problems
from graft.evaluation.metrics.base import Metric, Predictions
from graft.evaluation.metrics.costs import absolute_costs, cost_metric, names_costs
from graft.evaluation.metrics.own import is_own, own_metric
from graft.evaluation.metrics.structured import parsed
from graft.evaluation.scripts import bleu_tokenizer
from graft.registry import Registry, absolute_reference
from graft.runs.metric_info import MetricInfo

__all__ = ["METRICS", "Metric", "Predictions", "default_metrics", "get_metric", "metric_info", "select_metrics"]


def _as_metric(name: str, found: object) -> object:
    """Make a metric of a user's function or class."""
    return own_metric(name.rpartition(":")[2], found) if is_own(found) else found


_HERE = "graft.evaluation.metrics"
METRICS: Registry[Metric] = Registry(
    "metric",
    Metric,
    {
        "accuracy": f"{_HERE}.classes:ACCURACY",
        "macro_f1": f"{_HERE}.classes:MACRO_F1",
        "exact_match": f"{_HERE}.texts:EXACT_MATCH",
        "token_f1": f"{_HERE}.texts:TOKEN_F1",
        "rouge1": f"{_HERE}.texts:ROUGE_1",
        "rouge2": f"{_HERE}.texts:ROUGE_2",
        "rougeL": f"{_HERE}.texts:ROUGE_L",
        "bleu": f"{_HERE}.sequences:BLEU",
        "chrf": f"{_HERE}.sequences:CHRF",
        "chrf++": f"{_HERE}.sequences:CHRF_PLUS_PLUS",
        "json_valid": f"{_HERE}.structured:JSON_VALID",
        "field_f1": f"{_HERE}.structured:FIELD_F1",
        "label_f1": f"{_HERE}.structured:LABEL_F1",
        "entity_f1": f"{_HERE}.entities:ENTITY_F1",
        "entity_precision": f"{_HERE}.entities:ENTITY_PRECISION",
        "entity_recall": f"{_HERE}.entities:ENTITY_RECALL",
        "tag_accuracy": f"{_HERE}.entities:TAG_ACCURACY",
        "pearson": f"{_HERE}.numbers:PEARSON",
        "spearman": f"{_HERE}.numbers:SPEARMAN",
        "perplexity": f"{_HERE}.likelihood:PERPLEXITY",
    },
    adapt=_as_metric,
)
FEW_WORDS = 3


def get_metric(name: str) -> Metric:
    """Return a metric by its name or an alias (in any case).

    A user's own is named ``path/to/file.py:name``, and a cost matrix ``name=costs.csv``.

    Raises:
        InputError: If there is none, with the nearest name.
    """
    if names_costs(name):
        return cost_metric(name)
    if ":" in name:
        return METRICS.get(name)
    key = name.lower()
    by_case = {known.lower(): known for known in METRICS.names()}
    if key not in by_case:
        by_case |= {alias: known for known in METRICS.builtin for alias in METRICS.get(known).aliases}
    return METRICS.get(by_case.get(key, name))


def metric_info(document: Mapping[str, Any], name: str) -> MetricInfo:
    """Return the description of a metric of an evaluation.

    Args:
        document: The content of evaluation.json. One written by an older version describes no metrics; then the
            built-in metric of this name does, or the name alone.
        name: The metric's name in ``document``.
    """
    described = document.get("metrics")
    record = described.get(name) if isinstance(described, Mapping) else None
    if isinstance(record, Mapping):
        try:
            return MetricInfo.from_record(name, record)
        except (TypeError, ValueError):  # damaged: what follows still names it
            pass
    if name in METRICS.builtin:
        return METRICS.get(name)
    lower = name in (document.get("lower_is_better") or ())
    return MetricInfo(name=name, direction="lower" if lower else "higher")


def select_metrics(
    names: Sequence[str] | None,
    references: Sequence[str],
    labels: Sequence[str] | None,
    normalize: Sequence[str] = (),
) -> list[Metric]:
    """Return the requested metrics, or those that fit the data. The first is the headline.

    Args:
        names: The requested metrics, or None. One that is named twice, such as by its alias, is measured once.
        references: The reference answers.
        labels: The classes that an answer is one of, or None where answers are free text.
        normalize: What does not count in texts that are compared (``graft.evaluation.normalization``).

    Raises:
        InputError: Naming every unknown metric, those that need classes where there are none, and different ones
            of one name; where none is named; and where ``normalize`` is used by none of them.
    """
    problems = Problems()
    chosen: list[Metric] = []
    known: dict[str, tuple[Metric | None, str]] = {}
    if names is not None and not names:
        problems.add("no metric is named", "--metrics", "name one, such as exact_match")
    for name in names if names is not None else default_metrics(references, labels):
        try:
            metric = get_metric(name)
        except GraftError as error:
            problems.found.extend(error.problems)
            continue
        place = _own_place(name)
        before, where = known.setdefault(metric.name, (None, place))
        known[metric.name] = (metric, where)
        if before is not None:
            if before is not metric and (not place or place != where):
                two = " and ".join(one or f"graft's own {metric.name}" for one in (where, place))
                problems.add(f"two metrics have the name {metric.name}: {two}", "--metrics", "rename one of them")
            continue
        if metric.needs == "choice" and not labels:
            problems.add(f"{metric.name} requires classes as answers, and these answers are not classes", "--metrics")
        if metric.check_labels is not None and labels:
            metric.check_labels(labels, problems)
        fitted = metric.fit(references, normalize)
        chosen.append(replace(fitted, reference=place) if place else fitted)
    if normalize and chosen and not any(metric.compares_text for metric in chosen):
        listed = ", ".join(metric.name for metric in chosen)
        problems.add(f"--normalize {','.join(normalize)} is not used by {listed}", remedy="omit it, or add exact_match")
    problems.raise_if_any()
    return chosen


def _own_place(name: str) -> str:
    """Return how a user's own metric is found again from another working directory; empty for those of graft."""
    if names_costs(name):
        return absolute_costs(name)
    return absolute_reference(name) if ":" in name else ""


def default_metrics(references: Sequence[str], labels: Sequence[str] | None) -> list[str]:
    """Return the names of the metrics that fit the data: classes, JSON, a few words, or longer texts."""
    if labels:
        return ["accuracy", "macro_f1", "exact_match", "perplexity"]
    if all(isinstance(parsed(reference), (dict, list)) for reference in references):
        return ["field_f1", "json_valid", "exact_match", "perplexity"]
    if median(map(length_in_words, references)) <= FEW_WORDS:
        return ["exact_match", "token_f1", "perplexity"]
    sequences = ["bleu"] if bleu_tokenizer(references) == "13a" else ["bleu", "chrf"]
    return ["rougeL", "rouge1", "rouge2", *sequences, "token_f1", "exact_match", "perplexity"]
