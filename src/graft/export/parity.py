"""The parity gate: whether an exported model may ship, by the first metric on the same rows as the PyTorch model."""

from __future__ import annotations

from typing import Any, NamedTuple

from graft.evaluation.metrics import metric_info
from graft.evaluation.table import metric_names
from graft.export.merge_check import float_bound
from graft.runs.metric_info import MetricInfo

LARGEST_DROP = 0.02
SIGNIFICANT = 0.05


class Verdict(NamedTuple):
    """Whether a metric's change is allowed.

    Attributes:
        passed: Whether it is.
        drop: How much the metric got worse, as a fraction.
        reason: One sentence.
    """

    passed: bool
    drop: float
    reason: str


class Change(NamedTuple):
    """A metric's value in PyTorch and in the bundle, and the p-value of the paired difference."""

    metric: MetricInfo
    before: float
    after: float
    p: float


def gate(document: dict[str, Any], allowed: float | None) -> dict[str, Any]:
    """The first metric of an evaluation of two predictors, PyTorch's and then the bundle's, and the verdict on it.

    Args:
        document: The evaluation's document, as evaluation.json has it.
        allowed: The maximum drop; None: no significant drop, and at most 0.02.

    Returns:
        ``metric``, ``pytorch``, ``bundle``, ``difference``, ``drop``, ``passed`` and ``reason``.
    """
    metric = metric_info(document, metric_names(document)[0])
    before, after = (figures[metric.name] for figures in document["predictors"].values())
    difference = next(d for d in document["differences"] if d["metric"] == metric.name)
    found = verdict(Change(metric, before["value"], after["value"], difference["p"]), allowed)
    return {
        "metric": metric.name,
        "pytorch": before,
        "bundle": after,
        "difference": {name: difference[name] for name in ("value", "low", "high", "p")},
        "drop": round(found.drop, 6),
        "passed": found.passed,
        "reason": found.reason,
    }


def exact_verdict(parity: dict[str, Any], greatest_logit: float, rounding: float = 1.0) -> dict[str, Any]:
    """``parity`` of a bundle that should compute the same function as PyTorch; failed where its logits show another.

    Args:
        parity: The parity document, with ``greatest_logit_difference``: None where a logit is not a number.
        greatest_logit: The greatest magnitude of a logit in PyTorch.
        rounding: How many times the rounding of float32 is allowed, where the runtime computes in fewer digits.
    """
    found, allowed = parity["greatest_logit_difference"], rounding * float_bound(greatest_logit)
    if found is not None and found <= allowed:
        return parity
    said = "are not numbers" if found is None else f"differ by up to {found:.3g} (rounding explains {allowed:.3g})"
    return failed(parity, f"a wrong conversion: logits in float32 {said}")


def numbers_verdict(parity: dict[str, Any]) -> dict[str, Any]:
    """``parity`` of a bundle with rounded weights; failed where ``greatest_logit_difference`` is None: not a number."""
    missing = parity["greatest_logit_difference"] is None
    return failed(parity, *(["the bundle computes values that are not numbers"] if missing else []))


def prompts_verdict(parity: dict[str, Any]) -> dict[str, Any]:
    """``parity`` of a bundle with a tokenizer and a chat template of its own; failed where they differ for a prompt."""
    said = {
        "template_identical": "the folder's chat template renders {} of {} prompts differently",
        "token_ids_identical": "the folder's tokenizer reads {} of {} prompts differently",
    }
    pairs = {name: parity[name] for name in said if name in parity}
    return failed(parity, *(said[name].format(of - same, of) for name, (same, of) in pairs.items() if same < of))


def failed(parity: dict[str, Any], *reasons: str) -> dict[str, Any]:
    """``parity``, failed for ``reasons`` where there are any."""
    if not reasons:
        return parity
    return {**parity, "passed": False, "reason": "; ".join([*reasons, parity["reason"]])}


def verdict(change: Change, allowed: float | None) -> Verdict:
    """Whether ``change`` is allowed.

    The drop is a fraction of the metric's scale; of a metric without one, such as perplexity, of the value in PyTorch.
    """
    metric = change.metric
    fall = change.after - change.before if metric.lower_is_better else change.before - change.after
    drop = fall / (max(change.before, 1e-9) if metric.scale is None else metric.scale)
    said = f"{metric.name} {change.before:.3f} in PyTorch, {change.after:.3f} in the bundle"
    if allowed is not None:
        return Verdict(drop <= allowed + 1e-9, drop, f"{said}: a drop of {drop:.3f} (allowed: {allowed:.3f})")
    if drop > LARGEST_DROP:
        return Verdict(False, drop, f"{said}: a drop of more than {LARGEST_DROP}")
    if drop > 0 and change.p < SIGNIFICANT:
        return Verdict(False, drop, f"{said}: significantly worse (p = {change.p:.3f})")
    return Verdict(True, drop, said)
