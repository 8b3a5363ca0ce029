"""What evaluation asks of a model, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graft.data.example import Example

Progress = Callable[[int, int], None]
"""Called with the rows done and the rows in all."""


@dataclass(frozen=True)
class Score:
    """The log-likelihood of a completion: its sum in nats (end token included) and its number of tokens.

    ``greedy``: each of its tokens, the end included, is the likeliest one where it stands, so that it is what greedy
    generation writes.
    """

    log_likelihood: float
    tokens: int
    greedy: bool = False


class Predictor(Protocol):
    """PyTorch, an ONNX bundle and an HTTP endpoint look the same to evaluation.

    ``tokenizer`` says how long an answer is; None where it is not known.
    """

    name: str
    tokenizer: Any

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        """The greedy answer to each example's prompt, end token cut off."""
        ...

    def score(
        self,
        examples: Sequence[Example],
        completions: Sequence[Sequence[str]],
        progress: Progress | None = None,
    ) -> list[list[Score]]:
        """For each example, the likelihood of each of its given completions after its prompt."""
        ...
