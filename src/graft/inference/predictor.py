"""The predictor protocol of evaluation, chat and export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from graft.data.example import Example

Within = Callable[[], AbstractContextManager[Any]]
"""Gives a context in which a model is asked: a tuned model answers as its base within ``Method.disabled``."""
Progress = Callable[[int, int], None]
"""Called with the number of rows done and the number of rows in all."""


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
    """A model that answers: a PyTorch model, an exported bundle, recorded answers.

    Both methods are deterministic: the same examples get the same results, in any order and any
    batches. Results have the order of the examples.

    Attributes:
        name: The name in results, such as ``base`` or ``tuned``.
        tokenizer: The tokenizer, from which callers learn how many tokens a reference has; None where it is unknown.

    A predictor that cannot ``score`` says so by the attribute ``can_score = False``.
    """

    name: str
    tokenizer: Any

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        """Answer each example's prompt by greedy decoding.

        Args:
            examples: The rows; only their prompts are read.
            max_new_tokens: The maximum number of tokens in an answer. Predictors that do not generate tokens, such as
                classifiers, ignore it.
            progress: Called after each batch.

        Returns:
            An answer for each example, without its end token and without surrounding blanks.
        """
        ...

    def score(
        self,
        examples: Sequence[Example],
        completions: Sequence[Sequence[str]],
        progress: Progress | None = None,
    ) -> list[list[CompletionScore]]:
        """Compute how likely given completions are.

        Args:
            examples: The rows; only their prompts are read.
            completions: The completions to score for each example. Their numbers may differ.
            progress: Called after each batch.

        Returns:
            For each example a score for each of its completions.

        Raises:
            InputError: If likelihoods are not defined for the task.
        """
        ...


@runtime_checkable
class TokenPredictor(Protocol):
    """A predictor that also reads and writes token ids: what has prompts of its own, such as a benchmark, asks these.

    Attributes:
        name: As of a ``Predictor``.
        tokenizer: A tokenizer of transformers.
    """

    name: str
    tokenizer: Any

    @property
    def context_length(self) -> int | None:
        """The number of tokens that the model reads; None where it is not known."""
        ...

    def generate_ids(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        is_done: Callable[[Sequence[int]], bool] | None = None,
        progress: Progress | None = None,
    ) -> list[list[int]]:
        """Continue prompts by greedy decoding.

        Args:
            prompts: Token ids, at least one each.
            max_new_tokens: The maximum number of tokens in an answer.
            is_done: Whether an answer, as its token ids so far, ends here.
            progress: Called after each batch.

        Returns:
            For each prompt the token ids of its answer, without an end token.
        """
        ...

    def score_ids(
        self,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[Sequence[int]]],
        progress: Progress | None = None,
    ) -> list[list[CompletionScore]]:
        """Compute how likely completions are, as token ids, after prompts of at least one token each."""
        ...


def can_score(predictor: Predictor) -> bool:
    """Return whether ``predictor`` computes likelihoods: all do that do not say otherwise."""
    return bool(getattr(predictor, "can_score", True))


@runtime_checkable
class ShowsAnswers(Protocol):
    """A predictor whose answers are for metrics: it says how a person reads one."""

    def shown(self, example: Example, answer: str) -> str:
        """Return ``answer`` to ``example`` for a person."""
        ...
