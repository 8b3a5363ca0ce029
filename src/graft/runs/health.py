"""Training health: overfitting, divergence, loss spikes, plateaus, memory. Used by training, report and doctor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

Curve = Sequence[tuple[int, float]]
"""(step, loss in nats), in the order of the steps."""

RISES = 2
"""Consecutive rises of the held-out loss that count as overfitting; early stopping waits for three evaluations."""
CLEAR_RISE = 1.06
"""The factor by which the held-out loss must have risen: on 64 rows, the loss of a healthy run varies by 5 %."""
PLATEAU_STEPS = 30
PLATEAU_FALL = 0.01
"""A loss that falls by less than this share in ``PLATEAU_STEPS`` steps is a plateau."""
CLEAR_FALL = 0.1
"""A fall of the training loss by this share is no effect of the batches."""
LEARNED = 0.05
"""A loss below this many nats is low, and no plateau."""
ABOVE_START = 1.5
"""The factor above the initial loss that counts as divergence."""
SUSTAINED = 5
"""Consecutive steps above the initial loss that count as divergence."""
SPIKE = 3.0
"""The factor above the recent median that counts as a spike."""
RATE_BELOW, RATE_ABOVE = 1 / 20, 10.0
"""The usual range around a method's default: for LoRA (2e-4) 1e-5 to 2e-3, for full fine-tuning (2e-5) 1e-6 to 2e-4."""
MEMORY_LEFT = 0.05
"""The share of free memory below which it counts as nearly full."""


@dataclass(frozen=True)
class HealthWarning:
    """A warning about a training.

    Attributes:
        kind: Its name for programs: a key of ``REMEDIES``.
        message: What happened, with figures.
        remedies: What to do about it.
        step: The step at which it began.
        noticed: The step at which it could be seen.
    """

    kind: str
    message: str
    remedies: tuple[str, ...] = ()
    step: int | None = None
    noticed: int | None = None


AGAINST_OVERFITTING = (
    "reduce capacity: lower lora_r and lora_alpha, or --method lora instead of full",
    "add regularization: lora_dropout 0.1, weight_decay 0.01",
    "use more rows, more varied rows, or fewer steps",
)
AGAINST_DIVERGENCE = (
    "lower the learning rate to a quarter",
    "use a longer warm-up (warmup_ratio 0.1) and max_grad_norm 0.3",
    "check the data for broken rows: look at the longest and the shortest first",
)
AGAINST_PLATEAU = (
    "raise the learning rate: try ten times the value",
    "check the first rows with --dry_run: the answer must be present and follow from the prompt",
    "train more parameters: a higher lora_r, or target_modules all-linear",
)
AGAINST_UNUSUAL_RATES = ("omit --learning_rate to use the default of the method",)
AGAINST_FULL_MEMORY = (
    "--per_device_train_batch_size 1 --gradient_accumulation_steps 16: the same batch in less memory",
    "--gradient_checkpointing true: recomputes activations instead of storing them",
    "--method qlora: stores the frozen weights in 4 bits",
    "use a smaller --max_length",
)

REMEDIES = {
    "overfitting": AGAINST_OVERFITTING,
    "divergence": AGAINST_DIVERGENCE,
    "spike": AGAINST_DIVERGENCE,
    "plateau": AGAINST_PLATEAU,
    "memory": AGAINST_FULL_MEMORY,
    "learning_rate": AGAINST_UNUSUAL_RATES,
}


def overfitting(training: Curve, held_out: Curve) -> HealthWarning | None:
    """Return a warning if the held-out loss rises after its minimum while the training loss falls."""
    if len(held_out) <= RISES:
        return None
    best = min(range(len(held_out)), key=lambda i: held_out[i][1])
    for end in range(best + RISES + 1, len(held_out) + 1):
        if _keeps_rising(held_out[best:end]):
            fall = _fall(training, held_out[best][0], held_out[end - 1][0])
            if fall is not None and fall[1] < fall[0]:
                return _overfitting(held_out, best, end - 1, fall)
    return None


def _overfitting(held_out: Curve, best: int, noticed: int, fall: tuple[float, float]) -> HealthWarning:
    lowest, last = held_out[best], held_out[-1]
    message = (
        f"overfitting: since step {lowest[0]} the held-out loss has risen from {lowest[1]:.3f} to {last[1]:.3f}, while "
        f"the training loss fell from {fall[0]:.3f} to {fall[1]:.3f}"
    )
    return HealthWarning("overfitting", message, AGAINST_OVERFITTING, lowest[0], held_out[noticed][0])


def _keeps_rising(after: Curve) -> bool:
    """From the minimum on: several rises in a row, or several evaluations that are all clearly above it."""
    values = [value for _, value in after]
    if values[-1] < values[0] * CLEAR_RISE:
        return False
    tail = values[-(RISES + 1) :]
    rising = all(before < now for before, now in pairwise(tail))
    above = len(values) > RISES + 1 and all(value >= values[0] * CLEAR_RISE for value in values[1:])
    return rising or above


def _fall(training: Curve, step: int, last: int) -> tuple[float, float] | None:
    """The mean training loss before ``step`` and after it, over equally many steps."""
    before = [value for at, value in training if 2 * step - last < at <= step]
    after = [value for at, value in training if step < at <= last]
    return (fmean(before), fmean(after)) if before and after else None


def divergence(steps: Curve) -> HealthWarning | None:
    """Return a warning if the step losses stay above the initial loss."""
    if len(steps) < 2 * SUSTAINED:
        return None
    start, last = _start(steps), steps[-SUSTAINED:]
    limit = max(ABOVE_START * start, start + 0.5)
    if not all(value > limit for _, value in last):
        return None
    message = f"the loss diverged: it is {last[-1][1]:.3f} at step {last[-1][0]} and was {start:.3f} at the start"
    return HealthWarning("divergence", message, AGAINST_DIVERGENCE, last[0][0], last[-1][0])


def spike(steps: Curve) -> HealthWarning | None:
    """Return a warning if the loss of the last step is far above each loss before it and above the initial loss."""
    before = [value for _, value in steps[-21:-1]]
    if len(before) < SUSTAINED:
        return None
    step, value = steps[-1]
    usual = median(before)
    if value <= max(SPIKE * usual, usual + 1.0, _start(steps), ABOVE_START * max(before)):
        return None
    message = f"a loss spike: the loss is {value:.3f} at step {step} and was about {usual:.3f} before"
    return HealthWarning("spike", message, AGAINST_DIVERGENCE, step, step)


def _start(steps: Curve) -> float:
    return median(value for _, value in steps[:SUSTAINED])


def plateau(training: Curve, held_out: Curve = ()) -> HealthWarning | None:
    """Return a warning if the loss has hardly fallen over all steps so far and is not low.

    The training loss varies with the batches. Where there are held-out losses, which are always of the same rows, they
    decide, and the training loss counts only if it falls clearly.
    """
    if len(training) < 6 or training[-1][0] < PLATEAU_STEPS:
        return None
    third = len(training) // 3
    first, last = (fmean(value for _, value in part) for part in (training[:third], training[-third:]))
    judged = [value for _, value in held_out]
    if len(judged) > 2:
        stuck = judged[0] - min(judged) <= PLATEAU_FALL * judged[0] and first - last <= CLEAR_FALL * first
    else:
        stuck = first - last <= PLATEAU_FALL * first
    if last < LEARNED or not stuck:
        return None
    message = f"the loss does not fall: it was {first:.3f} at the start and is {last:.3f} at step {training[-1][0]}"
    return HealthWarning("plateau", message, AGAINST_PLATEAU, training[0][0], training[-1][0])


def learning_rate_out_of_range(rate: float, usual: float, method: str) -> HealthWarning | None:
    """Return a warning if ``rate`` is far from ``usual``, the default of the method."""
    low, high = usual * RATE_BELOW, usual * RATE_ABOVE
    if low <= rate <= high:
        return None
    word, then = ("high", "diverge") if rate > high else ("low", "learn very little")
    message = f"a learning rate of {rate:g} is {word} for {method}: {low:g} to {high:g} is usual; training may {then}"
    return HealthWarning("learning_rate", message, (f"--learning_rate {usual:g}", *AGAINST_UNUSUAL_RATES))


Memory = tuple[float, float, float]
"""In MB: free, total, and used by this process; of a GPU, when its use was highest."""


def memory_nearly_full(main: Memory, gpus: Sequence[Memory] = ()) -> HealthWarning | None:
    """Return a warning if the memory of the machine, or of a GPU that is trained on, is nearly full."""
    places = [("memory", main), *((f"the memory of GPU {number}", of) for number, of in enumerate(gpus))]
    found = [_nearly_full(name, *of) for name, of in places if of[0] < MEMORY_LEFT * of[1]]
    return HealthWarning("memory", "; ".join(found), AGAINST_FULL_MEMORY) if found else None


def _nearly_full(name: str, left: float, total: float, used: float) -> str:
    return f"{name} is nearly full: {left:,.0f} of {total:,.0f} MB are left, and this run holds {used:,.0f}"


def at_peak(free: float, total: float, reserved: float, peak: float) -> Memory:
    """Return the memory of a GPU when this process used the most of it. All arguments have the same unit.

    Args:
        free: Free on the device now.
        total: The memory of the device.
        reserved: Held by PyTorch's caching allocator, which can allocate it again: it counts as free.
        peak: The most that was allocated at once, for example in a backward pass.
    """
    return max(0.0, free + reserved - peak), total, peak
