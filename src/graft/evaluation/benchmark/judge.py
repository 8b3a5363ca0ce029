"""Asks a model all tasks, by the harness's own evaluation, and keeps what it says of each row."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jinja2 import TemplateError

from graft.errors import InputError, reason_of
from graft.evaluation.benchmark.harness import offline

FAILURES = (ValueError, LookupError, TypeError, AttributeError, AssertionError, OSError, ImportError, TemplateError)
"""What tasks end with, of which any may have code of its own."""
HARNESS_SEEDS = (0, 1234, 1234, 1234)
"""Those of Python, NumPy, PyTorch and the choice of few-shot examples."""


@dataclass(frozen=True)
class Criteria:
    """How tasks are asked, by the harness's own names.

    Attributes:
        num_fewshot: The number of examples before each question; None takes what each task says.
        limit: The number of rows of each task, or the share of them below 1; None takes all.
        seeds: Those of Python, NumPy, PyTorch and the choice of examples; None leaves one alone.
        apply_chat_template: Whether questions are put as conversations.
        fewshot_as_multiturn: Whether the examples are turns of the conversation.
        system_instruction: A system message.
        gen_kwargs: What replaces the generation settings of the tasks.
        unsafe_code: Whether tasks may run the code that a model writes.
    """

    num_fewshot: int | None = None
    limit: float | None = None
    seeds: tuple[int | None, ...] = HARNESS_SEEDS
    apply_chat_template: bool = False
    fewshot_as_multiturn: bool = False
    system_instruction: str | None = None
    gen_kwargs: Mapping[str, Any] = field(default_factory=dict)
    unsafe_code: bool = False

    def record(self) -> dict[str, Any]:
        """Return what is not the harness's default, for evaluation.json."""
        values = {
            "limit": self.limit,
            "seed": None if self.seeds == HARNESS_SEEDS else list(self.seeds),
            "apply_chat_template": self.apply_chat_template,
            "fewshot_as_multiturn": None if self.fewshot_as_multiturn == self.apply_chat_template else "false",
            "system_instruction": self.system_instruction,
            "gen_kwargs": dict(self.gen_kwargs),
        }
        return {name: value for name, value in values.items() if value not in (None, False, {})}


Sample = Mapping[str, Any]


@dataclass(frozen=True)
class Judged:
    """What a model made of the tasks.

    Attributes:
        samples: By task: the harness's record of each row and filter, with its metrics.
        results: By task and group: the harness's values, ``METRIC,FILTER``.
        group_results: Of groups that have a score together.
        versions: The version of each task.
        shots: The number of examples before each question.
        rows: By task the number of rows that there are.
    """

    samples: dict[str, list[Sample]]
    results: dict[str, dict[str, Any]]
    group_results: dict[str, dict[str, Any]]
    versions: dict[str, Any]
    shots: dict[str, int]
    rows: dict[str, int]


def judge(model: Any, loaded: Mapping[str, Any], criteria: Criteria) -> Judged:
    """Ask ``model`` all tasks.

    Args:
        model: A language model of the harness.
        loaded: The tasks, as the harness's ``TaskManager.load`` returns them.
        criteria: How they are asked. The same criteria give the same questions to each model.

    Raises:
        InputError: If a task fails, with its reason.
    """
    from lm_eval.evaluator import evaluate

    _seed(criteria.seeds)
    for task in loaded["tasks"].values():
        _configure(task, criteria)
    try:
        with offline():
            found = evaluate(
                model,
                loaded,
                limit=criteria.limit,
                bootstrap_iters=0,
                system_instruction=criteria.system_instruction,
                apply_chat_template=criteria.apply_chat_template,
                fewshot_as_multiturn=criteria.fewshot_as_multiturn,
                confirm_run_unsafe_code=criteria.unsafe_code,
            )
    except FAILURES as error:
        raise InputError(f"the harness cannot run these tasks: {reason_of(error)}", where="--tasks") from error
    sizes = {name: int(count["original"]) for name, count in found["n-samples"].items()}
    return Judged(
        found["samples"],
        found["results"],
        found.get("groups") or {},
        found["versions"],
        found["n-shot"],
        sizes,
    )


def _seed(seeds: Sequence[int | None]) -> None:
    import torch

    python, numpy, pytorch, _ = seeds
    if python is not None:
        random.seed(python)
    if numpy is not None:
        np.random.seed(numpy)  # what tasks of the harness draw from
    if pytorch is not None:
        torch.manual_seed(pytorch)


def _configure(task: Any, criteria: Criteria) -> None:
    """Set a task as ``simple_evaluate`` of the harness does; a task that says 0 examples keeps them."""
    if criteria.gen_kwargs and task.get_config("output_type") == "generate_until":
        task.set_config(key="generation_kwargs", value=dict(criteria.gen_kwargs), update=True)
    own = task.get_config("num_fewshot")
    if criteria.num_fewshot is None:
        if own is None:
            task.set_config(key="num_fewshot", value=0)
    elif own != 0:
        task.set_config(key="num_fewshot", value=criteria.num_fewshot)
    task.set_fewshot_seed(seed=criteria.seeds[3])
