"""Whether the scores of trials can be compared: held-out losses over the same tokens, metrics over the same rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from graft.commands.search_settings import Searched, trial_settings
from graft.errors import InputError, Problems
from graft.planning.inputs import rows_key

if TYPE_CHECKING:
    from graft.commands.search_trials import PlannedTrials
    from graft.planning.plan import RunPlan
    from graft.search.space import Dimension

MOST_VALUES = 8
"""How many values of a setting are tried before the first trial; a trial of another value is checked when it runs."""
COMPARE_ANSWERS = "compare answers: --metric_for_best_model accuracy, or another metric"


def compared_on(plan: RunPlan) -> str:
    """Return the SHA-256 of what the score of a trial is taken over.

    Of a held-out loss, a mean over tokens, these are the tokens that the monitored rows are trained on, or a head's
    targets; of a metric, the examples.
    """
    if plan.training.metric == "loss":
        found: Any = (
            list(row.input_ids[max(1, row.prompt_length) :]) if row.target is None else row.target
            for row in plan.monitored
        )
    else:
        found = (example.origin for example in plan.monitored_examples)
    digest = hashlib.sha256()
    for each in found:
        digest.update(f"{each}\n".encode())
    return digest.hexdigest()


def check_compared(plan: RunPlan, first: str) -> None:
    """Check that a trial is compared on what the first trial is compared on.

    Raises:
        InputError: If it is not.
    """
    if compared_on(plan) != first:
        raise InputError(_said(plan, "this trial"), remedy=_remedy(plan))


def check_values(searched: Searched, shared: Mapping[str, Any], first: RunPlan, trials: PlannedTrials) -> None:
    """Check that trials of the searched settings can be compared, unlike those of models with other tokenizers.

    Each is tried over the defaults. What cannot be planned at all is for its trial to say.

    Raises:
        InputError: With the settings of which they cannot.
    """
    problems = Problems()
    wanted, usual = compared_on(first), rows_key(trial_settings(searched.cls, shared, {}))
    for dimension in searched.space.dimensions:
        for value in _tried(dimension):
            with suppress(InputError):
                settings = trial_settings(searched.cls, shared, {dimension.name: value})
                if rows_key(settings) == usual:
                    continue
                plan = trials.plan(settings)
                if compared_on(plan) != wanted:
                    problems.add(_said(first, f"{dimension.name} {value}"), "search_space", _remedy(first))
                    break
    problems.raise_if_any()


def _tried(dimension: Dimension) -> Iterator[Any]:
    yield from dimension.values[:MOST_VALUES] if dimension.kind == "choice" else (dimension.low, dimension.high)


def _said(plan: RunPlan, what: str) -> str:
    if plan.training.metric == "loss":
        return (
            f"the held-out loss of {what} is computed over other tokens than that of the defaults, as with another "
            "tokenizer or template, so the two cannot be compared"
        )
    return f"the held-out {plan.training.metric} of {what} is computed over other rows than that of the defaults"


def _remedy(plan: RunPlan) -> str:
    if plan.training.metric == "loss":
        return COMPARE_ANSWERS
    return "do not search settings that decide which rows are held out or dropped"
