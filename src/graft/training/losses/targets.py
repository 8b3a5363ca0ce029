"""Losses of logits at targets: ``logits`` (N, classes) float32, ``labels`` (N), one loss a target (N), in nats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy as _cross_entropy

from graft.data.tokenize import TokenizedExample
from graft.errors import InputError

MOST_CLASSES = 200


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return _cross_entropy(logits, labels, reduction="none")


class LabelSmoothing(nn.Module):
    """Cross-entropy with ``smoothing`` of the weight spread over all classes (Szegedy et al. 2016, section 7)."""

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing is a share from 0 to below 1, not {smoothing}")
        self.smoothing = smoothing

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return _cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing)


class Focal(nn.Module):
    """``(1 - p)^gamma`` times cross-entropy: what is known already counts less (Lin et al. 2017, equation 4)."""

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f"gamma is zero or more, not {gamma}")
        self.gamma = gamma

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = _cross_entropy(logits, labels, reduction="none")
        return (-torch.expm1(-loss)).clamp(min=0) ** self.gamma * loss


class ClassWeighted(nn.Module):
    """Cross-entropy in which a row counts by its class, the answer it is trained to give.

    ``weights``: ``"balanced"``, or a weight for each class by name; classes that are not named weigh 1.
    """

    def __init__(self, weights: str | Mapping[str, float] = "balanced") -> None:
        super().__init__()
        if isinstance(weights, str) and weights != "balanced":
            raise ValueError(f'weights are "balanced" or {{class: weight}}, not {weights!r}')
        if not isinstance(weights, str) and any(float(weight) < 0 for weight in weights.values()):
            raise ValueError(f"weights are zero or more, not {dict(weights)!r}")
        self.weights = weights
        self.by_answer: dict[tuple[int, ...], float] = {}

    def prepare(self, rows: Sequence[TokenizedExample], tokenizer: Any) -> None:
        """Learn the classes from the training rows.

        Raises:
            InputError: when the answers are no classes, or a class with a weight is not among them.
        """
        counts = Counter(tuple(row.input_ids[max(1, row.prompt_length) :]) for row in rows)
        if len(counts) > min(MOST_CLASSES, max(1, len(rows) // 2)):
            raise InputError(
                f"--loss class-weighted needs classes, and the data has {len(counts):,} different answers",
                remedy="omit --loss, or train on labeled rows with --loss_on completion",
            )
        names = {answer: str(tokenizer.decode(answer, skip_special_tokens=True)).strip() for answer in counts}
        self.by_answer = dict(zip(counts, self._weights(names, counts), strict=True))

    def _weights(self, names: Mapping[tuple[int, ...], str], counts: Counter[tuple[int, ...]]) -> list[float]:
        if isinstance(self.weights, str):
            balanced = balanced_weights(counts)
            return [balanced[answer] for answer in counts]
        unknown = set(self.weights) - set(names.values())
        if unknown:
            there = ", ".join(sorted(set(names.values())))
            said = f"no row has the class {', '.join(sorted(unknown))}"
            raise InputError(said, where="loss_arguments", remedy=f"there are: {there}")
        return [float(self.weights.get(names[answer], 1.0)) for answer in counts]

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
        loss = _cross_entropy(logits, labels, reduction="none")
        rows = batch["target_rows"]
        answers: list[list[int]] = [[] for _ in range(int(rows.max()) + 1)]
        for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
            answers[row].append(label)
        weights = loss.new_tensor([self.by_answer.get(tuple(answer), 1.0) for answer in answers])
        return loss * weights[rows]


def balanced_weights(counts: Mapping[Any, int]) -> dict[Any, float]:
    """``rows / (classes * rows of the class)``: all classes count alike, and a row counts 1 on average."""
    rows = sum(counts.values())
    return {name: rows / (len(counts) * count) for name, count in counts.items()}
