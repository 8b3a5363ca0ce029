"""The one subclass of ``transformers.Trainer``: graft's batches, its loss, its checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer

from graft.data.tokenize import TokenizedExample
from graft.errors import is_out_of_memory
from graft.progress import SILENT, Reporter, enter
from graft.training.checkpoints import rotate, seal
from graft.training.ending import EvaluationInterrupted, InterruptHandler
from graft.training.memory import Batch, KeepingRows, Parts, RandomState, free_memory
from graft.training.sampling import BatchPlan

Loss = Callable[[torch.nn.Module, Batch, Any], torch.Tensor]
Monitor = Callable[[], dict[str, float]]
"""-> further figures of an evaluation, by metric."""


class TokenizedRows(Dataset[TokenizedExample]):
    """Rows as a data set of PyTorch; they are read where they are stored."""

    def __init__(self, rows: Sequence[TokenizedExample]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> TokenizedExample:
        return self.rows[index]


class BatchSampler:
    """Batches in an order that depends on the seed and the epoch alone, so that resuming changes nothing."""

    def __init__(
        self, rows: Sequence[TokenizedExample], batch_size: int, seed: int, plan: BatchPlan, drop_last: bool
    ) -> None:
        self.rows, self.batch_size, self.seed, self.epoch, self.plan = rows, batch_size, seed, 0, plan
        self.drop_last = drop_last

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows) // self.batch_size if self.drop_last else math.ceil(len(self.rows) / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        yield from self.plan(self.rows, self.batch_size, self.seed, self.epoch)


class NonFiniteError(Exception):
    """The loss or the weights became NaN or infinite."""


class GraftTrainer(Trainer):
    """``transformers.Trainer`` with graft's batches, loss and checkpoints.

    Args:
        parts: rows -> a batch, and how many of them fit in memory at once.
        loss: model, batch, labels in the step -> the loss.
        keep: checkpoints to keep besides the best.
        plan: rows, batch size, seed, epoch -> the indices of each batch.
        interrupt: knows whether the user asked to stop.
        monitor: measures what selects the best weights, besides the held-out loss.
        reporter: is told when an evaluation begins and ends.
    """

    def __init__(
        self,
        *args: Any,
        parts: Parts,
        loss: Loss,
        keep: int,
        plan: BatchPlan,
        interrupt: InterruptHandler,
        monitor: Monitor | None = None,
        reporter: Reporter = SILENT,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.plan, self.interrupt, self.monitor, self.reporter = plan, interrupt, monitor, reporter
        self.parts, self.loss, self.keep = parts, loss, keep
        self.loss_is_scaled_for_ga = True
        self.can_return_loss = True
        self.rows_seen, self.tokens_seen, self.train_seconds = 0, 0, 0.0
        self.step_loss = 0.0
        self._of_step: list[Batch] = []
        self._at_step = RandomState.now()

    def get_train_dataloader(self) -> DataLoader[Any]:
        """A loader of the batches that ``plan`` makes, in place of the Trainer's own sampling."""
        dataset: Any = self.train_dataset
        args = self.args
        seed = args.seed if args.data_seed is None else args.data_seed
        loader: DataLoader[Any] = DataLoader(
            dataset,
            batch_sampler=BatchSampler(
                dataset.rows, self._train_batch_size, seed, self.plan, args.dataloader_drop_last
            ),
            collate_fn=KeepingRows(self.parts.collate),
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=getattr(args, "dataloader_multiprocessing_context", None),
            in_order=getattr(args, "dataloader_in_order", True),
        )
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> torch.Tensor:
        """Tokens trained on in all batches of a step: accumulation averages over tokens, not over batches."""
        count = sum((batch["labels"] != -100).sum() for batch in batch_samples)
        return torch.as_tensor(count, device=device)

    def training_step(self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        """Count rows, tokens and seconds, and add the micro-batch to the step's loss.

        Raises:
            NonFiniteError: When the step's loss is NaN or infinite.
        """
        started = time.perf_counter()
        self.rows_seen += inputs["rows"]
        self.tokens_seen += inputs["tokens"]
        loss = self._step_in_parts(model, inputs, num_items_in_batch)
        self.train_seconds += time.perf_counter() - started
        self.step_loss += float(loss)
        if not math.isfinite(self.step_loss):
            raise NonFiniteError(f"the loss became {self.step_loss} at step {self.state.global_step + 1}")
        return loss

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """The batches of a step, which begins."""
        self._of_step = []
        return super().get_batch_samples(*args, **kwargs)

    def _step_in_parts(self, model: torch.nn.Module, inputs: Batch, count: Any) -> torch.Tensor:
        """Compute a batch; where memory runs out, it and the earlier ones of the step again, in smaller parts.

        The weights have not changed since the step began, and the gradients and random numbers are those of then.
        """
        if not self._of_step:
            self._at_step = RandomState.now()
        self._of_step.append(inputs)
        batches = [inputs]
        while True:
            try:
                return [self._add_gradients(model, batch, count) for batch in batches][-1]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not self.parts.reduce():
                    raise
            model.zero_grad()  # the exception is gone here, and the tensors that it held
            free_memory()
            self._at_step.restore()
            batches = self._of_step

    def _add_gradients(self, model: torch.nn.Module, inputs: Batch, count: Any) -> torch.Tensor:
        first, *others = (super(GraftTrainer, self).training_step(model, part, count) for part in self.parts.of(inputs))
        return sum(others, first)

    def compute_loss(
        self, model: torch.nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The loss of ``inputs``, a scalar; its counts and its rows are for the Trainer alone."""
        batch = {name: value for name, value in inputs.items() if name not in {"rows", "tokens", "examples"}}
        return self.loss(model, batch, num_items_in_batch)

    def _track_num_input_tokens(self, inputs: Batch) -> None:
        """Count the tokens of the rows; ``all`` also counts the padding, which packed batches do not have."""
        wanted = self.args.include_num_input_tokens_seen
        if wanted != "no":
            padded = wanted == "all" and "attention_mask" in inputs
            self.state.num_input_tokens_seen += inputs["input_ids"].numel() if padded else inputs["tokens"]

    def floating_point_ops(self, inputs: Batch) -> int:
        """0: nothing reads the Trainer's own estimate."""
        return 0

    @torch.no_grad()
    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Measure, log, and tell the callbacks.

        Raises:
            EvaluationInterrupted: When the user asks to stop meanwhile.
        """
        metrics = self._measured(metric_key_prefix, eval_dataset)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self._train_again()
        return metrics

    @torch.no_grad()
    def probe(self) -> dict[str, float]:
        """Measure as ``evaluate``, without a log line and without telling the callbacks."""
        metrics = self._measured("eval")
        self._train_again()
        return metrics

    def _measured(self, prefix: str, eval_dataset: Any = None) -> dict[str, float]:
        """The held-out loss in nats a trained token, over all rows, whatever the batches; and what is monitored.

        Raises:
            EvaluationInterrupted: When the user asks to stop meanwhile.
        """
        dataset: Any = eval_dataset or self.eval_dataset
        rows = dataset.rows
        model = self.model
        assert model is not None
        enter(self.reporter, "evaluating")
        model.eval()
        total, tokens = 0.0, 0
        started = time.perf_counter()
        # Rows of similar length share a batch, which wastes least where batches are padded.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i].input_ids))
        start = 0
        while start < len(order):
            if self.interrupt.asked:
                raise EvaluationInterrupted
            chosen = [rows[i] for i in order[start : start + self.args.per_device_eval_batch_size]]
            found = self._held_out_loss(model, chosen)
            if found is None:
                self.args.per_device_eval_batch_size = max(1, len(chosen) // 2)
                continue
            total, tokens, start = total + found[0], tokens + found[1], start + len(chosen)
        seconds = time.perf_counter() - started
        metrics = {
            f"{prefix}_loss": total / max(tokens, 1),
            f"{prefix}_rows_per_second": len(rows) / max(seconds, 1e-9),
        }
        if self.monitor is not None:
            metrics |= {f"{prefix}_{name}": value for name, value in self.monitor().items()}
        return metrics

    def _train_again(self) -> None:
        assert self.model is not None
        self.model.train()
        enter(self.reporter, "step")

    def _held_out_loss(self, model: torch.nn.Module, rows: list[TokenizedExample]) -> tuple[float, int] | None:
        """The loss of ``rows`` and the number of their trained tokens; None if the rows do not fit in memory."""
        try:
            batch = self._prepare_inputs(self.parts.collate(rows))
            with self.compute_loss_context_manager():
                loss = float(self.compute_loss(model, batch, num_items_in_batch=1))
            return loss, int((batch["labels"] != -100).sum())
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or len(rows) == 1:
                raise
        free_memory()
        return None

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """Stop where the user asks to during an evaluation, with a checkpoint and without its figures."""
        try:
            super()._maybe_log_save_evaluate(*args, **kwargs)
        except EvaluationInterrupted:
            self.interrupt.stop(self.state, self.control, evaluation_due=True)
            super()._maybe_log_save_evaluate(*args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """By default PEFT asks the hub at every checkpoint whether the vocabulary of the base was changed."""
        if not isinstance(self.model, PeftModel):
            super()._save(output_dir, state_dict)
        elif self.args.should_save:
            self.model.save_pretrained(str(output_dir or self.args.output_dir), save_embedding_layers=False)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        if not all(bool(p.isfinite().all()) for p in model.parameters() if p.requires_grad):
            raise NonFiniteError(f"the weights are no longer finite after step {self.state.global_step}")
        super()._save_checkpoint(model, trial)
        folder = Path(self._get_output_dir(trial))
        seal(folder / f"checkpoint-{self.state.global_step}")
        rotate(folder, self.keep, self.state.best_global_step)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Resume the schedule at its step: in a run that was extended, the saved rate is that of the old schedule."""
        super()._load_optimizer_and_scheduler(checkpoint)
        schedule = self.lr_scheduler
        if checkpoint is None or not isinstance(schedule, LambdaLR) or self.optimizer is None:
            return
        factors = [factor(schedule.last_epoch) for factor in schedule.lr_lambdas]
        schedule._last_lr = [rate * factor for rate, factor in zip(schedule.base_lrs, factors, strict=True)]
        for group, rate in zip(self.optimizer.param_groups, schedule._last_lr, strict=True):
            group["lr"] = rate

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """A checkpoint holds tied weights once; transformers would warn of it."""
