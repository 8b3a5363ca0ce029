"""Metrics of a user's own that fail: the others are kept, and the rows are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graft.data.example import MOST_PLACES, Example, shown_places
from graft.evaluation.metrics import Metric, Predictions, default_metrics, get_metric
from graft.evaluation.metrics.base import MetricFailure
from graft.evaluation.rows import EvaluationRows

Failures = Mapping[str, MetricFailure]


def kept_metrics(
    metrics: Sequence[Metric], failed: Failures, predictions: Mapping[str, Predictions], rows: EvaluationRows
) -> list[Metric]:
    """Return the metrics that were computed; where none was, those that fit the rows and need no more predictions."""
    kept = [metric for metric in metrics if metric.name not in failed]
    if kept:
        return kept
    known = [get_metric(name).fit(rows.references) for name in default_metrics(rows.references, rows.labels)]
    fitting = [metric for metric in known if all(_provides(found, metric) for found in predictions.values())]
    return [replace(metric, reference="") for metric in fitting]


def _provides(found: Predictions, metric: Metric) -> bool:
    given = {"generation": found.answers, "choice": found.choices, "likelihood": found.scores}
    return given[metric.needs] is not None


def failure_records(failed: Failures, examples: Sequence[Example]) -> dict[str, Any]:
    """Return ``failed_metrics`` of evaluation.json."""
    return {
        name: {
            "error": _said(error),
            "rows": [str(examples[place].origin) for place in error.rows[:MOST_PLACES]],
            "count": len(error.rows),
        }
        for name, error in failed.items()
    }


def failure_notes(failed: Failures, examples: Sequence[Example]) -> list[str]:
    """Return a sentence on each metric that is missing."""
    notes = []
    for name, error in failed.items():
        origins = [examples[place].origin for place in error.rows[:MOST_PLACES]]
        at = f", in {len(error.rows):,} of {len(examples):,} rows: " if origins else ""
        places = shown_places(origins, len(error.rows)) if origins else ""
        notes.append(f"{name} is missing here: {_said(error)}{at}{places}")
    return notes


def _said(error: MetricFailure) -> str:
    problem = error.problems[0]
    return f"{problem.what} ({problem.where})" if problem.where else problem.what
