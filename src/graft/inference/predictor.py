"""What evaluation asks of a model, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graft.data.example import Example

Progress = Callable[[int, int], None]
"""Called with the rows done and the rows in all."""


@dataclass(frozen=True)
class CompletionScore:
    """How likely a completion is after its prompt.

    Attributes:
        log_likelihood: The sum over its tokens, end token included, in nats.
        tokens: The number of those tokens.
        is_greedy: Whether greedy generation writes exactly this completion.
    """

    log_likelihood: float
    tokens: int
    is_greedy: bool = False


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
    ) -> list[list[CompletionScore]]:
        """For each example, the likelihood of each of its given completions after its prompt."""
        ...
