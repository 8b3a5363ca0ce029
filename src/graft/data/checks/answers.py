"""Answers that nothing is learned from, or that do not end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from graft.data.checks.base import Finding, many
from graft.data.checks.view import CheckedData, TokenizedSide, Tokens
from graft.data.personal import shown_text


class Answers:
    """Rows that the model's chat template refuses, rows without a trained token, and answers without an end token."""

    name = "answers"
    title = "Answers"
    needs_model = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield what is wrong with the trained tokens."""
        tokens = data.tokens
        if tokens is None:
            return
        for side in tokens.sides:
            yield from _refused(side)
            yield from _untrained(side)
            if tokens.generates:
                yield from _endless(tokens, side)
        if tokens.generates and tokens.template_ends is False:
            yield Finding(
                "template_without_end",
                "note",
                "the chat template ends answers with no token: graft adds the end token",
                why="without it, the model would learn not to stop",
                remedy="where other programs make the training rows, check that they add it",
            )


def _refused(side: TokenizedSide) -> Iterator[Finding]:
    if side.refused:
        yield Finding(
            "refused_by_template",
            "error",
            f"{many(len(side.refused), 'row')} cannot be tokenized for this model",
            side.refused,
            why="graft finetune refuses them",
            remedy="change or remove these rows, or give another --chat_template",
            evidence=tuple(f"{problem.where}: {shown_text(problem.what)}" for problem in side.problems[:5]),
            side=side.name,
        )


def _untrained(side: TokenizedSide) -> Iterator[Finding]:
    empty = ~side.rows.has_answer & (side.rows.cut == 0)
    if not side.rows.has_targets and empty.any():
        rows = side.rows.located(empty)
        yield Finding(
            "no_trained_token",
            "error",
            f"{many(len(rows), 'row has', 'rows have')} no token that is trained on",
            rows,
            why="nothing is learned from them, and graft finetune refuses them",
            remedy="fill in the answers, or remove the rows",
            side=side.name,
        )


def _endless(tokens: Tokens, side: TokenizedSide) -> Iterator[Finding]:
    """Answers whose last token is none that ends them; those that are cut are found by their length."""
    endless = ~np.isin(side.rows.last_tokens, sorted(tokens.ends)) & side.rows.has_answer & (side.rows.cut == 0)
    if endless.any():
        rows = side.rows.located(endless)
        yield Finding(
            "no_end_token",
            "error",
            f"{many(len(rows), 'row has', 'rows have')} an answer without an end token",
            rows,
            why=f"a model learns to stop by the end token, which {endless.mean():.0%} of the answers lack",
            remedy="give the tokenizer an end token (eos_token), or a --chat_template that writes one",
            side=side.name,
        )
