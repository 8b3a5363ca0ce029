"""Methods and engines for one run side by side: what each takes, and which to choose within limits. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from graft.data.inferred import InferredSetting
from graft.engine.benchmark import slowdown
from graft.engine.quantized_weights import has_kernel
from graft.errors import InputError
from graft.methods import METHODS
from graft.planning.estimate import RunEstimate, estimate
from graft.planning.limits import Limits
from graft.planning.plan import RunPlan
from graft.planning.settings import finetune_settings, laid_over
from graft.progress import SILENT, Reporter, enter
from graft.tasks.base import default_learning_rate

CANDIDATES = (
    ("lora", "exact"),
    ("lora", "bfloat16"),
    ("lora", "int8"),
    ("qlora", "exact"),
    ("adapters", "exact"),
    ("full", "exact"),
)
"""Methods and engines, the one to prefer first. LoRA is exact, exports everywhere, and learns as well as full
fine-tuning on small data (Schulman et al. 2025)."""


@dataclass(frozen=True)
class Choice:
    """A method and an engine, with what they take.

    Attributes:
        method: By name.
        engine: By name, as it was asked for.
        batch_size: Rows of a batch.
        accumulation: Batches of a step.
        estimate: Memory, minutes, parameters; None where they cannot run.
        refused: Why they cannot; None where they can.
        over: By limit, how many times it is exceeded.
    """

    method: str
    engine: str
    batch_size: int
    accumulation: int
    estimate: RunEstimate | None = None
    refused: str | None = None
    over: dict[str, float] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether it can run within the limits."""
        return self.estimate is not None and not self.over

    @property
    def minutes(self) -> float:
        """Of training and the comparison."""
        assert self.estimate is not None
        return self.estimate.minutes + self.estimate.comparison_minutes

    @property
    def packed(self) -> str:
        """``packed``, or why batches are padded."""
        found = self.estimate
        if found is None:
            return "–"
        return found.padded_because or ("padded: asked for" if self.engine == "plain" else _packed(found))

    def document(self) -> dict[str, Any]:
        """Plain values."""
        found = self.estimate
        return {
            "method": self.method,
            "engine": self.engine,
            "batch_size": self.batch_size,
            "gradient_accumulation_steps": self.accumulation,
            "refused": self.refused,
            "estimate": None if found is None else asdict(found),
            "packed": self.packed,
            "fits": self.fits,
            "over": self.over,
        }


def _packed(found: RunEstimate) -> str:
    return "padded: the task has a head" if found.engine == "plain" else "packed"


def choices(
    plan: RunPlan, given: Mapping[str, Any], limits: Limits, again: bool = False, reporter: Reporter = SILENT
) -> list[Choice]:
    """Each candidate for the run of ``plan``.

    Args:
        plan: The run as it is without advice.
        given: The settings that the user gave; a method or an engine among them is the only one.
        limits: What it may take.
        again: Whether to measure the speed again.
        reporter: Told what is estimated.
    """
    found = []
    for method, engine in _candidates(given):
        enter(reporter, "step")
        reporter.note(f"estimating {method}, {engine}")
        found.append(_choice(plan, given, method, engine, limits, again))
    return found


def _candidates(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    method, engine = given.get("method"), given.get("engine")
    matching = [one for one in CANDIDATES if method in (None, one[0]) and engine in (None, one[1])]
    yield from matching or [(str(method or "lora"), str(engine or "exact"))]


def _choice(plan: RunPlan, given: Mapping[str, Any], method: str, engine: str, limits: Limits, again: bool) -> Choice:
    size, accumulation = plan.training.batch_size, plan.training.accumulation
    made = Choice(method, engine, size, accumulation)
    if engine in {"int8", "bfloat16"} and plan.objective is not None:
        return replace(made, refused="for text generation alone")
    if engine in {"int8", "bfloat16"} and not has_kernel(engine) and (slower := slowdown(engine)) > 1:
        return replace(made, refused=f"{slower:.1f} times as slow as exact on this processor (measured)")
    fixed = "per_device_train_batch_size" in given
    while True:
        try:
            found = estimate(_other(plan, given, method, engine, size, accumulation), again)
        except InputError as error:
            return replace(made, refused=str(error).splitlines()[0])
        made = Choice(method, engine, size, accumulation, found)
        made = replace(made, over=over(made, limits))
        if "memory" not in made.over or fixed or size == 1:
            return made
        size, accumulation = size // 2, accumulation * 2


def _other(plan: RunPlan, given: Mapping[str, Any], method: str, engine: str, size: int, accumulation: int) -> RunPlan:
    """``plan`` with another method and batch: the rows, their tokens and the steps stay."""
    settings = finetune_settings(laid_over(given, {"method": method, "engine": engine}))
    rate = settings.learning_rate or default_learning_rate(plan.task, METHODS.get(method))
    held_out = settings.per_device_eval_batch_size or 2 * size
    training = replace(
        plan.training,
        batch_size=size,
        accumulation=accumulation,
        learning_rate=rate,
        eval_batch_size=held_out,
    )
    return replace(plan, settings=settings, training=training)


def over(choice: Choice, limits: Limits) -> dict[str, float]:
    """By limit, how many times ``choice`` exceeds it."""
    assert choice.estimate is not None
    taken = {"memory": (choice.estimate.memory_mb, limits.memory_mb), "time": (choice.minutes, limits.minutes)}
    return {
        name: round(value / limit, 2) for name, (value, limit) in taken.items() if limit is not None and value > limit
    }


def advice(found: Sequence[Choice]) -> Choice | None:
    """The first that fits, else the one that exceeds its limits least; None where none can run."""
    able = [one for one in found if one.estimate is not None]
    fitting = [one for one in able if one.fits]
    if fitting:
        return fitting[0]
    return min(able, key=lambda one: max(one.over.values()), default=None)


def as_settings(choice: Choice, given: Mapping[str, Any], why: str) -> list[InferredSetting]:
    """The settings of ``choice`` that the user did not give."""
    values = {"method": choice.method, "engine": choice.engine, "per_device_train_batch_size": choice.batch_size}
    values |= {"gradient_accumulation_steps": choice.accumulation}
    return [InferredSetting(name, value, why) for name, value in values.items() if name not in given]
