"""Cross-entropy in which a row counts by its class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graft.config import Settings, setting
from graft.config.types import Pairs
from graft.errors import InputError
from graft.training.losses.base import Loss

if TYPE_CHECKING:
    import torch

    from graft.data.tokenize import TokenizedExample

MAX_CLASSES = 200


class ClassWeightedConfig(Settings):
    """Options of ``ClassWeighted``."""

    class_weights: Pairs | None = setting(
        None, "weight of each class, as good=1,bad=3 (default: balanced, the same total weight for each class)"
    )


class ClassWeighted(Loss):
    """Cross-entropy in which a row counts by its class, the answer it is trained to give.

    ``weights``: ``"balanced"``, or a weight for each class by name; classes that are not named weigh 1.
    """

    name = "class-weighted"
    title = "Class-weighted cross-entropy"
    help = "cross-entropy that gives rare and frequent classes the same total weight"
    Config = ClassWeightedConfig
    parameters = {"class_weights": "weights"}  # noqa: RUF012

    def __init__(self, weights: str | Mapping[str, float] = "balanced") -> None:
        if isinstance(weights, str) and weights != "balanced":
            raise ValueError(f'weights must be "balanced" or {{class: weight}}, not {weights!r}')
        if not isinstance(weights, str) and any(float(weight) < 0 for weight in weights.values()):
            raise ValueError(f"weights must be at least 0, not {dict(weights)!r}")
        self.weights = weights
        self.by_answer: dict[tuple[int, ...], float] = {}

    def prepare(self, rows: Sequence[TokenizedExample], tokenizer: Any) -> None:
        """Learn the classes from the training rows.

        Raises:
            InputError: when the answers are no classes, or a class with a weight is not among them.
        """
        counts = Counter(tuple(row.input_ids[max(1, row.prompt_length) :]) for row in rows)
        if len(counts) > min(MAX_CLASSES, max(1, len(rows) // 2)):
            raise InputError(
                f"--loss class-weighted requires classes, but the data has {len(counts):,} different answers",
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
            raise InputError(said, where="loss_arguments", remedy=f"the classes are: {there}")
        return [float(self.weights.get(names[answer], 1.0)) for answer in counts]

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        loss = cross_entropy(logits, labels, reduction="none")
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
