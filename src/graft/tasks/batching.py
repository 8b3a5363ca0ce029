"""What tasks with heads share: texts as tokens, rows as padded batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from graft.data.tokenize import TokenizedExample

Batch = dict[str, Any]
IGNORED = -100
ROWS_AT_ONCE = 32


def text_ids(tokenizer: Any, text: str, max_length: int) -> tuple[list[int], int]:
    """The tokens of ``text`` with the model's own marks, at least one, and how many were cut off."""
    whole: list[int] = tokenizer(text, truncation=False)["input_ids"]
    ids = tokenizer(text, truncation=True, max_length=max_length)["input_ids"] if len(whole) > max_length else whole
    return list(ids) or [tokenizer.eos_token_id or tokenizer.pad_token_id], max(0, len(whole) - max_length)


def padded(rows: Sequence[Sequence[int]], filling: int) -> torch.Tensor:
    """(rows, longest), filled up on the right."""
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[filling] * (longest - len(row))] for row in rows])


def read(rows: Sequence[Sequence[int]], pad_token_id: int) -> Batch:
    """``input_ids`` and ``attention_mask``, (rows, longest)."""
    return {"input_ids": padded(rows, pad_token_id), "attention_mask": padded([[1] * len(row) for row in rows], 0)}


def placed(model: Any, batch: Batch) -> Batch:
    """The batch where the model is."""
    return {name: part.to(model.device) for name, part in batch.items()}


def in_batches(
    rows: Sequence[TokenizedExample], progress: Callable[[int, int], None] | None = None
) -> Iterator[tuple[list[int], list[TokenizedExample]]]:
    """Rows of like length together, with their places."""
    order = sorted(range(len(rows)), key=lambda index: (len(rows[index].input_ids), index))
    for start in range(0, len(order), ROWS_AT_ONCE):
        places = order[start : start + ROWS_AT_ONCE]
        yield places, [rows[place] for place in places]
        if progress:
            progress(start + len(places), len(rows))


@contextmanager
def evaluating(model: Any, adapter: bool | None) -> Iterator[Any]:
    """``model`` without dropout and gradients, and without its adapter when ``adapter`` is False."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            if adapter is False:
                with model.disable_adapter():
                    yield model
            else:
                yield model
    finally:
        model.train(training)
