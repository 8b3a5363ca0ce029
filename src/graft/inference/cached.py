"""A predictor that answers each question once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graft.data.example import Example
from graft.inference.predictor import CompletionScore, Predictor, Progress, can_score


class CachedPredictor:
    """Keeps a predictor's answers, so that several comparisons on the same examples ask the model once.

    Examples are told apart by identity: a caller passes the same objects again to get the kept answers.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.name, self.tokenizer, self.can_score = predictor.name, predictor.tokenizer, can_score(predictor)
        self._predictor: Predictor | None = predictor
        self._generated: dict[Any, list[str]] = {}
        self._scored: dict[Any, list[list[CompletionScore]]] = {}
        self._examples: list[Sequence[Example]] = []  # kept alive, so that no other example gets one of their ids

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        """Return the answers that the predictor gave before to the same objects and limit, or ask it now.

        Raises:
            RuntimeError: If it has no answer yet and its model was released.
        """
        key = (tuple(map(id, examples)), max_new_tokens)
        if key not in self._generated:
            self._generated[key] = self._model().generate(examples, max_new_tokens, progress)
            self._examples.append(examples)
        return self._generated[key]

    def score(
        self, examples: Sequence[Example], completions: Sequence[Sequence[str]], progress: Progress | None = None
    ) -> list[list[CompletionScore]]:
        """Return the scores that the predictor gave before to the same objects and texts, or ask it now.

        Raises:
            RuntimeError: If it has no scores yet and its model was released.
        """
        key = (tuple(map(id, examples)), tuple(map(tuple, completions)))
        if key not in self._scored:
            self._scored[key] = self._model().score(examples, completions, progress)
            self._examples.append(examples)
        return self._scored[key]

    def release_model(self) -> None:
        """Drop the model to free its memory, and keep the answers."""
        self._predictor = None

    def _model(self) -> Predictor:
        if self._predictor is None:
            raise RuntimeError(
                f"the predictor {self.name!r} has released its model and has no cached answer for this row"
            )
        return self._predictor
