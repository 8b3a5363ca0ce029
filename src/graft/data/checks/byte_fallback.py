"""Texts that the tokenizer has no tokens for: they become single bytes, or are lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.data.checks.base import Finding, many
from graft.data.checks.view import CheckedData, TokenizedSide, Tokens

MOST_BYTES = 0.2
"""The share of a row's tokens, its template's included, that parts of letters may be: some emoji, but no text."""
MOST_UNKNOWN = 0.05
FEW = 0.01
"""The share of rows below which it is a note."""


class ByteFallback:
    """Rows whose script the tokenizer does not know: many tokens are parts of letters, or unknown ones."""

    name = "byte_fallback"
    title = "Scripts unknown to the tokenizer"
    needs_model = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield the rows with many tokens that are parts of letters, and those with unknown ones."""
        for side in data.tokens.sides if data.tokens else ():
            assert data.tokens is not None
            if len(side.rows):
                yield from _bytes(data.tokens, side)
                yield from _unknown(data.tokens, side)


def _bytes(tokens: Tokens, side: TokenizedSide) -> Iterator[Finding]:
    used = side.rows.used_tokens()
    parts = np.zeros(int(used.max(initial=0)) + 1, bool)
    parts[[number for number in used.tolist() if "\ufffd" in tokens.tokenizer.decode([number])]] = True
    shares = side.rows.counts(parts) / np.maximum(1, side.rows.lengths)
    heavy = shares > MOST_BYTES
    if heavy.any():
        yield _finding(
            side,
            heavy,
            "byte_fallback",
            "that the tokenizer writes in parts of letters",
            f"up to {shares.max():.0%} of a row's tokens are single bytes: such texts are long, and the model has "
            "learned little of their script",
            "use a model that knows the language",
        )


def _unknown(tokens: Tokens, side: TokenizedSide) -> Iterator[Finding]:
    tokenizer = tokens.tokenizer
    unknown = tokenizer.unk_token_id
    if unknown is None or unknown in {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id}:
        return
    mask = np.arange(max(int(side.rows.used_tokens().max(initial=0)), unknown) + 1) == unknown
    shares = side.rows.counts(mask) / np.maximum(1, side.rows.lengths)
    if (shares > MOST_UNKNOWN).any():
        yield _finding(
            side,
            shares > MOST_UNKNOWN,
            "unknown_tokens",
            f"in which more than {MOST_UNKNOWN:.0%} of the tokens are {tokenizer.unk_token}",
            f"the model cannot read what they stand for; up to {shares.max():.0%} of a row's tokens are unknown",
            "use a model that knows these letters, or replace them",
        )


def _finding(side: TokenizedSide, chosen: NDArray[np.bool_], kind: str, what: str, why: str, remedy: str) -> Finding:
    rows = side.rows.located(chosen)
    share = float(chosen.mean())
    return Finding(
        kind,
        "warning" if share >= FEW else "note",
        f"{many(len(rows), 'row')} {what}",
        rows,
        why=why,
        remedy=remedy,
        figures={"share": round(share, 4)},
        side=side.name,
    )
