"""Answers whose first token would be one with the end of the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from graft.data.checks.base import Finding, many
from graft.data.checks.view import CheckedData, TokenizedSide, Tokens

MANY = 0.5
"""The share of rows from which on it is the template, and not a few texts."""


class Boundary:
    """Rows in which a token would span the end of the prompt, so that the model sees an unusual beginning."""

    name = "boundary"
    title = "Beginnings of answers"
    needs_model = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield the rows whose prompt and answer have other tokens apart than together."""
        for side in data.tokens.sides if data.tokens else ():
            if side.rows.merged.any():
                assert data.tokens is not None
                yield _found(data.tokens, side)


def _found(tokens: Tokens, side: TokenizedSide) -> Finding:
    rows = side.rows.located(side.rows.merged)
    places = np.flatnonzero(side.rows.merged)
    ends = [_end(tokens.tokenizer, side, int(place)) for place in islice(places, 5)]
    blank = any(prompt[-1:].isspace() and prompt.strip("\n") for prompt, _ in ends)
    remedy = "end prompts where a word ends"
    if blank:
        remedy = "move the blank at the end of the prompt to the beginning of the answer, and end prompts without one"
    return Finding(
        "merged_boundary",
        "warning" if len(places) >= MANY * len(side.rows) else "note",
        f"in {many(len(rows), 'row')} a token would span the end of the prompt and the beginning of the answer",
        rows,
        why="graft tokenizes prompt and answer separately, as at inference; the answer then starts with a token "
        f"that is rare in pretraining ({len(places) / len(side.rows):.1%} of the answers)",
        remedy=remedy,
        evidence=tuple(f"{side.rows[int(n)].origin}: {p!r} + {a!r}" for n, (p, a) in zip(places, ends, strict=False)),
        side=side.name,
    )


def _end(tokenizer: Any, side: TokenizedSide, place: int) -> tuple[str, str]:
    """The last token of the prompt, and the first of the answer."""
    row = side.rows[place]
    border = row.prompt_length
    return tokenizer.decode(row.input_ids[border - 1 : border]), tokenizer.decode(row.input_ids[border : border + 1])
