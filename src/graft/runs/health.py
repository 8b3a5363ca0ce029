"""Signs of trouble in a training, read from its curves: the same while it runs, in the report, and for the doctor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

Curve = Sequence[tuple[int, float]]
"""Steps and losses in nats, in the order of the steps."""

RISES = 2
"""So many rises of the held-out loss in a row are more than noise; early stopping waits for three evaluations."""
CLEARLY = 1.06
"""By so much it has to have risen: on 64 rows the loss of a run that goes well wobbles by 5 %."""
STUCK_STEPS = 30
STUCK_BELOW = 0.01
"""A loss that falls by less than this share does not move."""
CLEAR_FALL = 0.1
"""So much the training loss falls whatever batches it meets."""
LEARNED = 0.05
"""Below so many nats there is nothing left to move."""
ABOVE_START = 1.5
SUSTAINED = 5
"""Steps in a row above the start's loss that are a divergence."""
SPIKE = 3.0
RATE_BELOW, RATE_ABOVE = 1 / 20, 10.0
"""Around a method's usual learning rate: LoRA's 2e-4 gives 1e-5 to 2e-3, full fine-tuning's 2e-5 1e-6 to 2e-4."""
MEMORY_LEFT = 0.05


@dataclass(frozen=True)
class Sign:
    """``kind`` names it for programs; ``what`` says it with its figures; ``step`` is where it began."""

    kind: str
    what: str
    remedies: tuple[str, ...] = ()
    step: int | None = None
    noticed: int | None = None


AGAINST_OVERFITTING = (
    "less freedom to learn by heart: lower lora_r and lora_alpha; --method lora instead of full",
    "more regularisation: lora_dropout 0.1, weight_decay 0.01",
    "more rows, and more varied ones; or fewer steps",
)
AGAINST_DIVERGENCE = (
    "a learning rate a quarter as high",
    "a longer warm-up (warmup_ratio 0.1), and max_grad_norm 0.3",
    "rows that are broken: the data's longest and emptiest ones first",
)
AGAINST_STANDSTILL = (
    "a higher learning rate (ten times is worth a try)",
    "--dry_run shows the first rows as trained: is the answer there, and does the prompt determine it?",
    "more of the model to tune: a higher lora_r, target_modules all-linear",
)
AGAINST_ODD_RATES = ("leave --learning_rate away: the method's usual one is taken then",)
AGAINST_FULL_MEMORY = (
    "--per_device_train_batch_size 1 --gradient_accumulation_steps 16: the same step in less memory",
    "--gradient_checkpointing true: activations are computed twice instead of kept",
    "--method qlora: the frozen weights in four bits",
    "a smaller --max_length",
)

REMEDIES = {
    "overfitting": AGAINST_OVERFITTING,
    "divergence": AGAINST_DIVERGENCE,
    "spike": AGAINST_DIVERGENCE,
    "standstill": AGAINST_STANDSTILL,
    "memory": AGAINST_FULL_MEMORY,
    "learning_rate": AGAINST_ODD_RATES,
}


def overfitting(training: Curve, held_out: Curve) -> Sign | None:
    """The held-out loss rises for several evaluations after its lowest, while the training loss falls."""
    if len(held_out) <= RISES:
        return None
    best = min(range(len(held_out)), key=lambda i: held_out[i][1])
    for end in range(best + RISES + 1, len(held_out) + 1):
        if _keeps_rising(held_out[best:end]):
            fall = _fall(training, held_out[best][0], held_out[end - 1][0])
            if fall is not None and fall[1] < fall[0]:
                return _overfitting(held_out, best, end - 1, fall)
    return None


def _overfitting(held_out: Curve, best: int, noticed: int, fall: tuple[float, float]) -> Sign:
    lowest, last = held_out[best], held_out[-1]
    what = (
        f"overfitting: since step {lowest[0]} the held-out loss has risen from {lowest[1]:.3f} to {last[1]:.3f}, while "
        f"the training loss fell from {fall[0]:.3f} to {fall[1]:.3f}: rows are learned by heart"
    )
    return Sign("overfitting", what, AGAINST_OVERFITTING, lowest[0], held_out[noticed][0])


def _keeps_rising(after: Curve) -> bool:
    """From the lowest on: several rises in a row, or several evaluations that are all clearly above it."""
    values = [value for _, value in after]
    if values[-1] < values[0] * CLEARLY:
        return False
    tail = values[-(RISES + 1) :]
    rising = all(before < now for before, now in pairwise(tail))
    above = len(values) > RISES + 1 and all(value >= values[0] * CLEARLY for value in values[1:])
    return rising or above


def _fall(training: Curve, step: int, last: int) -> tuple[float, float] | None:
    """Mean training losses before ``step`` and after it, over as many steps."""
    before = [value for at, value in training if 2 * step - last < at <= step]
    after = [value for at, value in training if step < at <= last]
    return (fmean(before), fmean(after)) if before and after else None


def divergence(steps: Curve) -> Sign | None:
    """Step losses that stay above where they began: it does not learn any more, it forgets."""
    if len(steps) < 2 * SUSTAINED:
        return None
    start, last = _start(steps), steps[-SUSTAINED:]
    limit = max(ABOVE_START * start, start + 0.5)
    if not all(value > limit for _, value in last):
        return None
    what = f"the loss diverged: {last[-1][1]:.3f} at step {last[-1][0]}, and {start:.3f} at the start"
    return Sign("divergence", what, AGAINST_DIVERGENCE, last[0][0], last[-1][0])


def spike(steps: Curve) -> Sign | None:
    """The last step's loss far above those before it, each of them, and above the start's."""
    before = [value for _, value in steps[-21:-1]]
    if len(before) < SUSTAINED:
        return None
    step, value = steps[-1]
    usual = median(before)
    if value <= max(SPIKE * usual, usual + 1.0, _start(steps), ABOVE_START * max(before)):
        return None
    what = f"a spike: the loss is {value:.3f} at step {step}, and was about {usual:.3f} before"
    return Sign("spike", what, AGAINST_DIVERGENCE, step, step)


def _start(steps: Curve) -> float:
    return median(value for _, value in steps[:SUSTAINED])


def standstill(training: Curve, held_out: Curve = ()) -> Sign | None:
    """Over all steps so far the loss has hardly fallen, and is not low.

    Batches differ, so the training loss moves by itself; where there are held-out losses, always of the same rows, they
    decide, and of the training loss only a clear fall counts.
    """
    if len(training) < 6 or training[-1][0] < STUCK_STEPS:
        return None
    third = len(training) // 3
    first, last = (fmean(value for _, value in part) for part in (training[:third], training[-third:]))
    judged = [value for _, value in held_out]
    if len(judged) > 2:
        stuck = judged[0] - min(judged) <= STUCK_BELOW * judged[0] and first - last <= CLEAR_FALL * first
    else:
        stuck = first - last <= STUCK_BELOW * first
    if last < LEARNED or not stuck:
        return None
    what = f"the loss does not move: {first:.3f} at first, {last:.3f} by step {training[-1][0]}"
    return Sign("standstill", what, AGAINST_STANDSTILL, training[0][0], training[-1][0])


def learning_rate_out_of_range(rate: float, usual: float, method: str) -> Sign | None:
    """``usual`` is the method's own learning rate."""
    low, high = usual * RATE_BELOW, usual * RATE_ABOVE
    if low <= rate <= high:
        return None
    word, then = ("high", "diverge") if rate > high else ("low", "learn next to nothing")
    what = (
        f"a learning rate of {rate:g} is {word} for {method}: from {low:g} to {high:g} is usual, and it may well {then}"
    )
    return Sign("learning_rate", what, (f"--learning_rate {usual:g}", *AGAINST_ODD_RATES))


Memory = tuple[float, float, float]
"""In MB: what is left, what there is, and what this process holds; of a GPU, when it held the most."""


def memory_nearly_full(main: Memory, gpus: Sequence[Memory] = ()) -> Sign | None:
    """The machine's memory, or that of a GPU that is trained on."""
    places = [("memory", main), *((f"the memory of GPU {number}", of) for number, of in enumerate(gpus))]
    found = [_nearly_full(name, *of) for name, of in places if of[0] < MEMORY_LEFT * of[1]]
    return Sign("memory", "; ".join(found), AGAINST_FULL_MEMORY) if found else None


def _nearly_full(name: str, left: float, total: float, used: float) -> str:
    return f"{name} is nearly full: {left:,.0f} of {total:,.0f} MB are left, and this run holds {used:,.0f}"


def at_its_fullest(free: float, total: float, reserved: float, peak: float) -> Memory:
    """Of a GPU, when this process held the most. All in the same unit.

    ``free`` is free for everybody now; ``reserved`` PyTorch keeps from the device to give out again, so it is no less
    free; ``peak`` is the most that was given out of it at once, as in a backward pass that is over by now.
    """
    return max(0.0, free + reserved - peak), total, peak
