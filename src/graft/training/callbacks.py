"""The Trainer's callbacks: metrics and progress, training health, early stopping."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from graft.hardware.machine import Resources, memory_mb
from graft.progress import Reporter
from graft.runs.health import (
    HealthWarning,
    Memory,
    at_peak,
    divergence,
    memory_nearly_full,
    overfitting,
    plateau,
    spike,
)


def gpu_memory_mb() -> list[Memory]:
    """The memory of each CUDA device, in MB; zeros for one that is not used, since asking it would take memory."""
    found = []
    for device in range(torch.cuda.device_count()):
        peak = torch.cuda.max_memory_allocated(device)
        free, total = torch.cuda.mem_get_info(device) if peak else (0, 0)
        figures = (free, total, torch.cuda.memory_reserved(device), peak)
        found.append(at_peak(*(figure / 2**20 for figure in figures)))
    return found


class MetricsWriter(TrainerCallback):
    """Writes a line to metrics.jsonl at every log, and keeps the progress line going."""

    def __init__(self, write: Callable[[dict[str, Any]], None], reporter: Reporter) -> None:
        self.write, self.reporter = write, reporter
        self.resources = Resources()
        self.trainer: Any = None
        self.figures: dict[str, float] = {}
        self._before = (0, 0, 0.0)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any
    ) -> None:
        """Write the training or held-out loss with throughput and resource use; other logs are skipped."""
        if not logs or not ({"loss", "eval_loss"} & set(logs)):
            return
        line: dict[str, Any] = {"step": state.global_step, **logs}
        if "loss" in logs:
            line |= self._throughput() | self.resources.sample()
        self.write(line)
        self.figures = {k: v for k, v in line.items() if isinstance(v, (int, float))}
        self.reporter.step(state.global_step, state.max_steps, self.figures)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report the step with the latest figures, which may be of an earlier one."""
        self.reporter.step(state.global_step, state.max_steps, self.figures)

    def _throughput(self) -> dict[str, float]:
        now = (self.trainer.rows_seen, self.trainer.tokens_seen, self.trainer.train_seconds)
        rows, tokens, seconds = (after - before for after, before in zip(now, self._before, strict=True))
        self._before = now
        if seconds <= 0:
            return {}
        return {"rows_per_second": round(rows / seconds, 3), "tokens_per_second": round(tokens / seconds, 1)}


class HealthMonitor(TrainerCallback):
    """Reports each warning once, writes it to metrics.jsonl, and stops a training that diverges.

    A resumed training knows what was logged before: checkpoints carry the log history.
    """

    def __init__(self, write: Callable[[dict[str, Any]], None], reporter: Reporter) -> None:
        self.write, self.reporter = write, reporter
        self.trainer: Any = None
        self.diverged: HealthWarning | None = None
        self.steps: list[tuple[int, float]] = []
        self._said: set[str] = set()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the losses that were logged before a resumed training."""
        self.steps = _curve(state, "loss")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Check for divergence, which stops the training without a checkpoint, for spikes, and for full memory."""
        self.steps.append((state.global_step, self.trainer.step_loss))
        self.trainer.step_loss = 0.0
        self.diverged = divergence(self.steps)
        if self.diverged:
            control.should_training_stop = True
            control.should_save = control.should_evaluate = False
            self.warn(self.diverged, state.global_step)
            return
        self.warn(spike(self.steps), state.global_step)
        self.warn(memory_nearly_full(memory_mb(), gpu_memory_mb()), state.global_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Check whether the loss has hardly fallen so far."""
        self.warn(plateau(self.steps, _curve(state, "eval_loss")), state.global_step)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Check whether the held-out loss rises while the training loss falls."""
        self.warn(overfitting(self.steps, _curve(state, "eval_loss")), state.global_step)

    def warn(self, warning: HealthWarning | None, step: int) -> None:
        """Report ``warning`` with its remedies, and write it to metrics.jsonl; each kind only once."""
        if warning is None or warning.kind in self._said:
            return
        self._said.add(warning.kind)
        self.write({"step": step, "warning": warning.kind, "message": warning.message})
        self.reporter.note(
            "\n".join(
                [f"{warning.message[:1].upper()}{warning.message[1:]}", *(f"    - {r}" for r in warning.remedies)]
            )
        )


def _curve(state: TrainerState, name: str) -> list[tuple[int, float]]:
    return [(int(line["step"]), float(line[name])) for line in state.log_history if name in line]


class BestCheckpoint(TrainerCallback):
    """Saves a checkpoint whenever what is monitored is the best so far, and stops the training early.

    It reads the log history, which checkpoints carry: a resumed training decides as an uninterrupted one.

    Args:
        patience: evaluations without a better value after which training stops; 0: never.
        keep_best: whether to save the best checkpoint.
        metric: what is monitored, as evaluations log it.
        greater_is_better: its direction.
        extended_from: the step from which the run was made longer; evaluations up to it cost no patience.
    """

    def __init__(
        self,
        patience: int,
        keep_best: bool,
        metric: str = "eval_loss",
        greater_is_better: bool = False,
        extended_from: int | None = None,
    ) -> None:
        self.patience, self.keep_best, self.extended_from = patience, keep_best, extended_from or 0
        self.metric, self.sign = metric, -1.0 if greater_is_better else 1.0
        self.stopped = False

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a checkpoint at a new best value, and stop after ``patience`` evaluations without one."""
        values = _curve(state, self.metric)
        if self.keep_best and self._best(values) == len(values) - 1:
            control.should_save = True
        if self.is_exhausted(state):
            control.should_training_stop = True
            self.stopped = True

    def is_exhausted(self, state: TrainerState) -> bool:
        """Whether there has been no better value for ``patience`` evaluations."""
        values = _curve(state, self.metric)
        if not self.patience or not values:
            return False
        before = sum(step <= self.extended_from for step, _ in values) - 1
        return len(values) - 1 - max(self._best(values), before) >= self.patience

    def _best(self, values: list[tuple[int, float]]) -> int:
        return min(range(len(values)), key=lambda index: self.sign * values[index][1])


class StopHook(TrainerCallback):
    """Lets the caller of a training follow what is monitored, and end the training by it.

    Args:
        stop: step, value -> whether to end here; None: never.
        probes: steps at which the value is measured for ``stop`` alone: neither the log, nor the choice of the best
            step, nor early stopping know of it, and the weights are those of a training without it.
        on_best: called with the model and the step at each new best value.
        metric: what is monitored, as evaluations log it.
        greater_is_better: its direction.
    """

    def __init__(
        self,
        stop: Callable[[int, float], bool] | None,
        probes: Collection[int],
        on_best: Callable[[Any, int], None] | None,
        metric: str,
        greater_is_better: bool,
    ) -> None:
        self.stop, self.probes, self.on_best = stop, frozenset(probes), on_best
        self.metric, self.sign = metric, -1.0 if greater_is_better else 1.0
        self.trainer: Any = None
        self.stopped = False
        self._best: float | None = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Measure at a probe, unless this step is evaluated or the training ends here anyway."""
        if state.global_step in self.probes and not control.should_evaluate and not control.should_training_stop:
            self._ask(state.global_step, self.trainer.probe()[self.metric], control)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Pass on a new best value, and ask whether to end."""
        value = float(metrics[self.metric])
        if self._best is None or self.sign * value < self.sign * self._best:
            self._best = value
            if self.on_best is not None:
                self.on_best(self.trainer.model, state.global_step)
        self._ask(state.global_step, value, control)

    def _ask(self, step: int, value: float, control: TrainerControl) -> None:
        if self.stop is not None and self.stop(step, value):
            control.should_training_stop = True
            self.stopped = True


class LastLog(TrainerCallback):
    """Logs the loss of a run that is shorter than ``logging_steps``, which would never be logged."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Log at the last step where no step was a logging step."""
        too_short = args.logging_strategy == "steps" and state.logging_steps > state.max_steps
        if too_short and state.global_step >= state.max_steps:
            control.should_log = True
