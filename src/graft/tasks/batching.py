"""What tasks with heads share: texts as tokens, rows as padded batches, and a predictor's frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from graft.data.example import Example
from graft.data.tokenize import TokenizedExample
from graft.errors import InputError
from graft.inference.predictor import CompletionScore, Progress, Within
from graft.inference.torch import evaluation_mode
from graft.tasks.encoding import Encoding

Batch = dict[str, Any]
IGNORED = -100
"""The target of a position that the loss ignores."""
BATCH_ROWS = 32


class Tokenized(NamedTuple):
    """A text's tokens.

    Attributes:
        ids: The token ids, with the special tokens of the model.
        cut: The number of tokens beyond the limit, which were cut off.
    """

    ids: list[int]
    cut: int


def tokenize_texts(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[Tokenized]:
    """Return the tokens of each text, at least one and at most ``max_length``."""
    if not texts:
        return []
    found: list[list[int]] = tokenizer(list(texts), truncation=False)["input_ids"]
    return [_bounded(tokenizer, text, whole, max_length) for text, whole in zip(texts, found, strict=True)]


def _bounded(tokenizer: Any, text: str, whole: list[int], max_length: int) -> Tokenized:
    ids = tokenizer(text, truncation=True, max_length=max_length)["input_ids"] if len(whole) > max_length else whole
    filled = list(ids) or [tokenizer.eos_token_id or tokenizer.pad_token_id]
    return Tokenized(filled, max(0, len(whole) - max_length))


def pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """Return a tensor of shape (rows, longest), padded on the right with ``value``."""
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])


def pad_inputs(rows: Sequence[Sequence[int]], pad_token_id: int) -> Batch:
    """Return ``input_ids`` and ``attention_mask``, each of shape (rows, longest)."""
    return {"input_ids": pad(rows, pad_token_id), "attention_mask": pad([[1] * len(row) for row in rows], 0)}


class TaskPredictor:
    """The frame of a predictor for one of the tasks with a head, an embedding or a decoder of its own.

    Args:
        name: The predictor's name in the results.
        model: A model of transformers or PEFT.
        encoding: The tokenizer, the labels and the limits.
        within: A context for predictions; it makes a tuned model behave like its base (``Method.disabled``).
    """

    no_scores: tuple[str, str] = ("likelihoods are not defined for this task", "omit --metrics")
    """What ``score`` says where it is not implemented, and the remedy."""

    def __init__(self, name: str, model: Any, encoding: Encoding, within: Within) -> None:
        self.name, self.model, self.encoding, self.within = name, model, encoding, within
        self.tokenizer = encoding.tokenizer

    def batches(
        self, rows: Sequence[TokenizedExample], progress: Progress | None = None
    ) -> Iterator[tuple[list[int], list[TokenizedExample]]]:
        """Yield batches of rows of similar length, with their places in ``rows``; the model evaluates meanwhile."""
        order = sorted(range(len(rows)), key=lambda index: (len(rows[index].input_ids), index))
        with evaluation_mode(self.model, self.within), torch.no_grad():
            for start in range(0, len(order), BATCH_ROWS):
                places = order[start : start + BATCH_ROWS]
                yield places, [rows[place] for place in places]
                if progress:
                    progress(start + len(places), len(rows))

    def to_device(self, batch: Batch) -> Batch:
        """Return the batch on the model's device."""
        return {name: part.to(self.model.device) for name, part in batch.items()}

    def inputs(self, rows: Sequence[Sequence[int]]) -> Batch:
        """Return padded inputs on the model's device."""
        return self.to_device(pad_inputs(rows, self.tokenizer.pad_token_id))

    def score(
        self,
        examples: Sequence[Example],
        completions: Sequence[Sequence[str]],
        progress: Progress | None = None,
    ) -> list[list[CompletionScore]]:
        """As ``Predictor.score``; a task without likelihoods does not override it."""
        what, remedy = self.no_scores
        raise InputError(what, where="--metrics", remedy=remedy)
