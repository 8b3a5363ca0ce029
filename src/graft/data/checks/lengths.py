"""Rows that are longer than the limit, and the limit that holds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.data.checks.base import Finding, Severity, many
from graft.data.checks.view import CheckedData, TokenizedSide, Tokens

BINS = 20
MOST_LOST = 0.01
"""The share of rows that the shorter limit may not hold; ``graft finetune`` omits as many cut answers unasked."""


class Lengths:
    """The lengths of rows in tokens, rows that are cut, and the ``--max_length`` that holds all of them."""

    name = "lengths"
    title = "Lengths"
    needs_model = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield the lengths as a note, and the rows that are cut."""
        for side in data.tokens.sides if data.tokens else ():
            if len(side.rows):
                assert data.tokens is not None
                yield _lengths(side)
                yield from _cut(data.tokens, side)


def _by_row(side: TokenizedSide, chosen: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """The limit that holds each row, whatever number of its answers it is for."""
    codes, needed = side.rows.origins, side.needed
    if chosen is not None:
        codes, needed = codes[chosen], needed[chosen]
    _, places = np.unique(codes, return_inverse=True)
    longest = np.zeros(int(places.max(initial=-1)) + 1, np.int64)
    np.maximum.at(longest, places, needed)
    return longest


def holding(needed: NDArray[np.int64], lost: float = 0.0) -> int:
    """Return the smallest limit that is too short for at most this share of the rows."""
    return int(np.sort(needed)[len(needed) - 1 - int(lost * len(needed))])


def _lengths(side: TokenizedSide) -> Finding:
    needed = _by_row(side)
    counts, edges = np.histogram(needed, bins=min(BINS, int(np.ptp(needed)) + 1))
    longest, shorter = holding(needed), holding(needed, MOST_LOST)
    lost = int((needed > shorter).sum())
    middle = int(np.median(needed))
    return Finding(
        "lengths",
        "note",
        f"{len(needed):,} rows have {int(needed.min()):,} to {longest:,} tokens, half of them at most {middle:,}",
        why=f"--max_length {longest} holds all of them"
        + (f"; {shorter} holds 99 %, all but {lost:,}" if shorter < longest else ""),
        figures={
            "histogram": {"counts": counts.tolist(), "edges": [round(float(edge), 1) for edge in edges]},
            "tokens": int(side.rows.lengths.sum() + side.rows.cut.sum()),
            "trained_tokens": 0 if side.rows.has_targets else int((side.rows.lengths - side.rows.prompt_lengths).sum()),
            "median": middle,
            "holds_all": longest,
            "holds_99": shorter,
            "lost_by_99": lost,
        },
        side=side.name,
    )


def _cut(tokens: Tokens, side: TokenizedSide) -> Iterator[Finding]:
    """The rows whose answer is cut, and the others that are."""
    for in_answer in (True, False):
        chosen = (side.rows.cut > 0) & (side.rows.answer_cut == in_answer)
        if chosen.any():
            yield _long(tokens, side, chosen, in_answer)
    beyond = side.needed > tokens.limit
    if beyond.any() and tokens.max_length > tokens.limit:
        rows = side.rows.located(beyond)
        yield Finding(
            "longer_than_model",
            "warning",
            f"{many(len(rows), 'row is', 'rows are')} longer than the model was made for",
            rows,
            why=f"it was trained on at most {tokens.limit:,} tokens, and reads positions beyond them less well",
            remedy="shorten the rows, or train a model with a longer context",
            fix=f"--max_length {tokens.limit}",
            side=side.name,
        )


def _long(tokens: Tokens, side: TokenizedSide, chosen: NDArray[np.bool_], in_answer: bool) -> Finding:
    rows, total = side.rows.located(chosen), len(np.unique(side.rows.origins))
    longest, shorter = holding(_by_row(side)), holding(_by_row(side), MOST_LOST)
    what = "the cut falls in the answer" if in_answer else "their ends are cut off"
    lost = int(side.rows.cut[chosen].sum()) / int(side.rows.lengths.sum() + side.rows.cut.sum())
    one = len(rows) == 1
    return Finding(
        "answer_cut" if in_answer else "long_rows",
        _severity(tokens, len(rows), total, in_answer),
        f"{len(rows):,} of {total:,} rows {'is' if one else 'are'} longer than {tokens.max_length:,} tokens: {what}",
        rows,
        why=f"{lost:.1%} of all tokens are beyond the limit; {_done(tokens, in_answer, len(rows) < MOST_LOST * total)}",
        remedy=_remedy(tokens, longest, shorter, int((_by_row(side) > shorter).sum())),
        fix=f"--max_length {min(longest, tokens.limit)}" if longest <= tokens.limit else "--on_long drop",
        figures={"longest": longest, "max_length": tokens.max_length, "limit": tokens.limit, "lost": round(lost, 4)},
        side=side.name,
    )


def _severity(tokens: Tokens, count: int, total: int, in_answer: bool) -> Severity:
    """An error where ``graft finetune`` refuses the rows, a note where it raises the limit."""
    if tokens.on_long == "error":
        return "error"
    if not in_answer or tokens.on_long is not None or count < MOST_LOST * total:
        return "warning"
    return "note" if tokens.raised > tokens.max_length else "error"


def _done(tokens: Tokens, in_answer: bool, are_few: bool) -> str:
    """What ``graft finetune`` does with the rows."""
    if tokens.on_long is not None:
        done = {"truncate": "truncates them", "drop": "omits them", "error": "refuses them"}[tokens.on_long]
        return f"graft finetune {done}, as --on_long says"
    if not in_answer:
        return "graft finetune truncates them"
    if tokens.raised > tokens.max_length:
        return f"graft finetune raises its limit to {tokens.raised:,} tokens"
    taught = "a cut answer would teach the model not to end its answers"
    return f"{taught}, so graft finetune {'omits them' if are_few else 'refuses them'}"


def _remedy(tokens: Tokens, longest: int, shorter: int, lost: int) -> str:
    others = "--on_long drop omits such rows, --on_long truncate cuts off their ends"
    if longest > tokens.limit:
        word = "accepts" if tokens.reads_no_more else "was made for"
        holds = f"--max_length {longest} would hold all of them, but the model {word} at most {tokens.limit:,}"
    else:
        holds = f"--max_length {longest} holds all of them"
    if shorter < longest and tokens.max_length < shorter <= tokens.limit:
        holds += f"; --max_length {shorter} holds all but {lost:,}"
    return f"{holds}; {others}"
