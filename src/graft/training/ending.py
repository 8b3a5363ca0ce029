"""Callbacks of the Trainer that stop a training early and resume it as if it had not been stopped."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from graft.interruption import handling
from graft.progress import Reporter
from graft.training.callbacks import BestCheckpoint

DUE = "evaluation_due"
"""Key in the log history of a checkpoint without its evaluation, which the resumed training makes first."""


class EvaluationInterrupted(Exception):
    """The user asked to stop during an evaluation."""


class AlreadyTrained(Exception):
    """The checkpoint to resume from is that of a completed training."""


class InterruptHandler(TrainerCallback):
    """The first Ctrl-C, SIGTERM or SIGHUP ends the training after this step, with a checkpoint; the second at once.

    Whoever sends SIGTERM kills soon after, so an evaluation is neither begun nor finished: the checkpoint says that it
    is due.

    Args:
        reporter: says so.
        saves: whether checkpoints are saved at all.
    """

    def __init__(self, reporter: Reporter, saves: bool = True) -> None:
        self.reporter, self.saves = reporter, saves
        self.asked = False
        self.stopped_at: int | None = None

    def listening(self) -> AbstractContextManager[None]:
        """Handle the signals within this context."""
        return handling(self._handle)

    def _handle(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        saving = " and saving a checkpoint" if self.saves else ""
        self.reporter.note(f"Stopping after this step{saving}; press Ctrl-C again to stop immediately.")

    def stop(self, state: TrainerState, control: TrainerControl, evaluation_due: bool) -> None:
        """Stop here with a checkpoint, which says whether an evaluation belongs to its step."""
        self.stopped_at = state.global_step
        control.should_save = self.saves
        control.should_training_stop = True
        control.should_evaluate = False
        if evaluation_due:
            state.log_history.append({"step": state.global_step, DUE: 1.0})

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After an interrupt, stop with a checkpoint."""
        if self.asked:
            self.stop(state, control, control.should_evaluate or _ends_epoch(args, state))

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """After an interrupt, do nothing that an epoch which was left in its middle would do."""
        if not self.asked:
            return
        if self.stopped_at == state.global_step:
            control.should_save = control.should_evaluate = False
        else:
            self.stop(state, control, control.should_evaluate)


def _ends_epoch(args: TrainingArguments, state: TrainerState) -> bool:
    """Whether an evaluation by epochs is to be made after this step."""
    epoch = state.epoch or 0.0
    at_end = epoch == int(epoch) or state.global_step >= state.max_steps
    return args.eval_strategy == IntervalStrategy.EPOCH and at_end and args.eval_delay <= epoch


class ResumeHandler(TrainerCallback):
    """Before the first step of a resumed training: the evaluation that is due, and whether there is a step left.

    transformers makes a step before it looks at their number, which would change the weights of a training that had
    come to its end.

    Args:
        best: knows whether the training was stopped early.
    """

    def __init__(self, best: BestCheckpoint) -> None:
        self.best = best
        self.trainer: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check what is left to train, and make the evaluation that is due.

        Raises:
            AlreadyTrained: When nothing is left to train.
            EvaluationInterrupted: When the user stops the evaluation.
        """
        if not state.global_step:
            return
        args.eval_on_start = False  # it was made when the run was started
        logged = [line for line in state.log_history if DUE not in line]
        if len(logged) < len(state.log_history):
            state.log_history = logged
            self.trainer._determine_best_metric(self.trainer._evaluate(None, None), None)
        self.best.stopped = self.best.is_exhausted(state)
        if state.global_step >= state.max_steps or self.best.stopped:
            raise AlreadyTrained
