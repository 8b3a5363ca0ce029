"""From rows to batches, and from batches to a loss, for an engine and an objective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from graft.data.tokenize import TokenizedExample
from graft.engine import pack, packed_loss, plain_collate, plain_loss
from graft.training.losses.choose import ChosenLoss
from graft.training.losses.distillation import Distillation
from graft.training.losses.engine import over_tokens, packed_targets, plain_targets
from graft.training.memory import Batch, Collate
from graft.training.objective import Objective
from graft.training.trainer import Loss


def make_collate(packed: bool, pad_token_id: int, objective: Objective | None, share_prefixes: bool = True) -> Collate:
    """Rows -> a batch, with ``rows`` and ``tokens``, their numbers, for the throughput."""
    if objective is not None:
        collate_rows = objective.collate
        return partial(_counted, lambda rows: collate_rows(rows, pad_token_id))
    padded = partial(plain_collate, pad_token_id=pad_token_id)
    return partial(_with_target_rows, partial(pack, share_prefixes=share_prefixes) if packed else padded)


def make_loss(packed: bool, loss: ChosenLoss | None, device: torch.device, objective: Objective | None) -> Loss:
    """Model and batch -> the loss of a batch, as the Trainer calls it; a loss with buffers moves to ``device``."""
    if objective is not None:
        assert loss is not None and loss.call is not None
        return objective.over_outputs(loss.call)
    if loss is None or loss.call is None:
        return packed_loss if packed else plain_loss
    logits_of = packed_targets if packed else plain_targets
    if isinstance(loss.call, torch.nn.Module):
        loss.call.to(device)
    if isinstance(loss.call, Distillation):
        loss.call.learn_from(loss.teacher_model.to(device), logits_of)
    return over_tokens(loss.call, logits_of)


def _with_target_rows(
    collate: Callable[[Sequence[TokenizedExample]], Batch], rows: Sequence[TokenizedExample]
) -> Batch:
    """``target_rows`` (N) says which row of the batch each trained token belongs to."""
    targets = torch.tensor([len(row.input_ids) - max(1, row.prompt_length) for row in rows])
    target_rows = torch.arange(len(rows)).repeat_interleave(targets)
    return {**_counted(collate, rows), "target_rows": target_rows}


def _counted(collate: Callable[[Sequence[TokenizedExample]], Batch], rows: Sequence[TokenizedExample]) -> Batch:
    return {**collate(rows), "rows": len(rows), "tokens": sum(len(row.input_ids) for row in rows)}
