"""The metric that selects the best weights, measured while training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graft.evaluation.metrics import get_metric
from graft.evaluation.predict import default_max_new_tokens, predict
from graft.evaluation.rows import EvaluationRows
from graft.planning.plan import MONITORED_ROWS, RunPlan
from graft.progress import SILENT
from graft.training.arguments import passed

GENERATED_ROWS = 64
"""Held-out rows that are answered at each evaluation; writing takes far longer than reading."""


def make_monitor(plan: RunPlan, model: Any, untouched: bool = False) -> Callable[[], dict[str, float]] | None:
    """Return what measures the metric of ``--metric_for_best_model``; None for the held-out loss.

    The rows are drawn with the same mix of classes: at most 256, or 64 where the model writes its answers.

    Args:
        plan: the run.
        model: the model in training, as the predictor asks it.
        untouched: whether to measure on the held-out rows that are not monitored.
    """
    training = plan.training
    if training.metric == "loss":
        return None
    given = str(passed(plan.settings)["metric_for_best_model"]).removeprefix("eval_")
    examples = plan.untouched_examples if untouched else plan.monitored_examples
    rows = EvaluationRows(examples, plan.data.mapping.labels, {}, plan.data.mapping.kind)
    metric = get_metric(given).fit(rows.references, plan.settings.normalize)
    writes = metric.needs == "generation" and not plan.encoding.label_space.names
    rows = rows.sampled(GENERATED_ROWS if writes else MONITORED_ROWS)
    predictor = plan.task.predictor("monitored", model, plan.encoding)
    longest = plan.settings.max_new_tokens or default_max_new_tokens(rows.written, predictor.tokenizer)

    def measure() -> dict[str, float]:
        """The metric's value over all rows."""
        found = predict(predictor, rows, [metric], longest, SILENT)
        return {metric.name: metric.total(metric.checked_statistics(found))}

    return measure
