"""The metrics by name, and which of them fit which data."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from graft.errors import GraftError, InputError, Problems
from graft.evaluation.metrics.base import Metric, Outcome, own_metric
from graft.evaluation.metrics.structured import parsed
from graft.registry import Registry

__all__ = ["METRICS", "InputError", "Metric", "Outcome", "choose", "get"]


def _as_metric(name: str, found: object) -> object:
    """A function of references and answers is a metric, too."""
    return own_metric(name.rpartition(":")[2], found) if callable(found) and not isinstance(found, Metric) else found


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
        "bleu": f"{_HERE}.texts:BLEU",
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
ALIASES = {
    "f1": "macro_f1",
    "rouge": "rougeL",
    "em": "exact_match",
    "exact": "exact_match",
    "ppl": "perplexity",
    "seqeval": "entity_f1",
}
FEW_WORDS = 3


def get(name: str) -> Metric:
    """A metric by name, by the name of an entry point, or a user's own by ``path/to/file.py:function``.

    Raises:
        InputError: when there is none.
    """
    by_case = {known.lower(): known for known in METRICS.names()}
    key = ALIASES.get(name.lower(), name)
    return METRICS.get(by_case.get(key.lower(), key))


def choose(names: Sequence[str] | None, references: Sequence[str], labels: Sequence[str] | None) -> list[Metric]:
    """The metrics asked for, or those that fit: the first is the headline.

    Raises:
        InputError: naming every unknown one, and those that need classes where there are none.
    """
    problems = Problems()
    chosen = []
    for name in names if names is not None else fitting(references, labels):
        try:
            metric = get(name)
        except GraftError as error:
            problems.found.extend(error.problems)
            continue
        if metric.needs == "choice" and not labels:
            problems.add(f"{metric.name} needs answers that are classes, and these are not", "--metrics")
        chosen.append(metric)
    problems.raise_if_any()
    return chosen


def fitting(references: Sequence[str], labels: Sequence[str] | None) -> list[str]:
    """What the answers are tells what is worth measuring."""
    if labels:
        return ["accuracy", "macro_f1", "exact_match", "perplexity"]
    if all(isinstance(parsed(reference), (dict, list)) for reference in references):
        return ["field_f1", "json_valid", "exact_match", "perplexity"]
    if median(len(reference.split()) for reference in references) <= FEW_WORDS:
        return ["exact_match", "token_f1", "perplexity"]
    return ["rougeL", "rouge1", "rouge2", "bleu", "token_f1", "exact_match", "perplexity"]
