"""The loss of a batch: packed, and padded as its reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from graft.data.tokenize import TokenizedExample
from graft.engine.attention import packed
from graft.engine.cross_entropy import chunked_cross_entropy, frozen_head, passed_through
from graft.engine.modules import takes_targets
from graft.engine.packing import lay_out
from graft.engine.prefix_tree import prefix_tree

Batch = dict[str, Any]
IGNORED = -100


def pack(rows: Sequence[TokenizedExample], share_prefixes: bool = True) -> Batch:
    """Rows as one sequence of T tokens with N targets.

    Each row keeps its own copy of the token that predicts its first target; its last token, which predicts nothing, is
    omitted.

    Args:
        rows: At least one.
        share_prefixes: Whether tokens that rows begin with alike are kept once. Without it every node of the layout is
            a row of its own.

    Returns:
        ``input_ids`` and ``position_ids`` (1, T), ``labels`` and ``target_positions`` (N), and the ``layout``.
    """
    firsts = [max(1, row.prompt_length) for row in rows]
    limits = [first - 1 if share_prefixes else 0 for first in firsts]
    levels, order, above = prefix_tree([row.input_ids[:-1] for row in rows], limits)
    tokens, positions, layout = lay_out(levels)
    labels: list[int] = []
    places: list[int] = []
    start = len(tokens) - sum(len(leaf.tokens) for leaf in levels[-1])
    for leaf, index, shared in zip(levels[-1], order, above, strict=True):
        labels += rows[index].input_ids[firsts[index] :]
        places += range(start + firsts[index] - 1 - shared, start + len(leaf.tokens))
        start += len(leaf.tokens)
    return {
        "input_ids": torch.tensor([tokens]),
        "position_ids": torch.tensor([positions]),
        "labels": torch.tensor(labels),
        "target_positions": torch.tensor(places),
        "layout": layout,
    }


def packed_logits(model: Any, batch: Batch, **kwargs: Any) -> Any:
    """The model's output for a packed batch, with logits (1, N, vocabulary) at the target positions alone.

    Args:
        model: A supported model (``supports``).
        batch: From ``pack``; moved to the model's device.
        kwargs: For the model's forward.
    """
    device = model.device
    targets = batch["target_positions"].to(device)
    kept = {"logits_to_keep": 0, "targets": targets} if takes_targets(model) else {"logits_to_keep": targets}
    with packed(model):
        return model(
            input_ids=batch["input_ids"].to(device),
            position_ids=batch["position_ids"].to(device),
            layout=batch["layout"].to(device),
            **{"use_cache": False, **kept, **kwargs},
        )


def packed_loss(model: torch.nn.Module, batch: Batch, num_items: torch.Tensor | int | None = None) -> torch.Tensor:
    """Cross-entropy in nats: the sum over targets divided by ``num_items``.

    Args:
        model: A supported model.
        batch: From ``pack``.
        num_items: The number of targets of an optimizer step; the batch's own when None.
    """
    head = frozen_head(model)
    if head is None:
        logits = packed_logits(model, batch).logits[0]
        total = cross_entropy(logits.float(), batch["labels"].to(logits.device), reduction="sum")
    else:
        with passed_through(head.module):
            hidden = packed_logits(model, batch).logits[0]
        total = chunked_cross_entropy(hidden, head.weight, head.bias, batch["labels"].to(hidden.device), head.rows)
    return total / (len(batch["labels"]) if num_items is None else num_items)


def plain_collate(rows: Sequence[TokenizedExample], pad_token_id: int) -> Batch:
    """Rows padded on the right: ``input_ids``, ``attention_mask`` and ``labels`` (rows, longest); -100 on prompts."""
    longest = max(len(row.input_ids) for row in rows)
    ids = torch.full((len(rows), longest), pad_token_id)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED)
    for index, row in enumerate(rows):
        length, first = len(row.input_ids), max(1, row.prompt_length)
        ids[index, :length] = torch.tensor(row.input_ids)
        mask[index, :length] = 1
        labels[index, first:length] = ids[index, first:length]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def plain_loss(model: torch.nn.Module, batch: Batch, num_items: torch.Tensor | int | None = None) -> torch.Tensor:
    """As ``packed_loss``, for a batch of ``plain_collate``."""
    output = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
    labels = batch["labels"][:, 1:].reshape(-1)
    logits = output.logits[:, :-1].reshape(len(labels), -1)
    total = cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum")
    return total / (int((labels != IGNORED).sum()) if num_items is None else num_items)
