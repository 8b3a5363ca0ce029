"""Rows that are longer than ``max_length``: truncated, dropped, or an error, as ``--on_long`` says.

Where it says nothing, texts are truncated, as is usual for plain text and for heads. A row whose answer would be cut
off is not trained on, because it would teach the model not to end its answers: few such rows are dropped, and many are
an error, unless the limit is graft's own and can be raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.config import FinetuneSettings
from graft.data.example import MOST_PLACES, shown_places
from graft.data.inferred import InferredSetting
from graft.data.pipeline import Prepared
from graft.data.quality import label_counts
from graft.data.token_table import TokenTable
from graft.errors import InputError, Problems
from graft.hardware.machine import memory_available_mb
from graft.models.base import Base
from graft.planning.inputs import Inputs
from graft.tasks.encoding import Encoding, model_limit, reads_no_more
from graft.training.schedule import token_megabytes

FEW = 0.01
"""The share of rows with a cut answer below which they are dropped unless the user says otherwise."""


class Sides(NamedTuple):
    """The rows to train on, and those that are held out."""

    train: TokenTable
    held_out: TokenTable


@dataclass(frozen=True)
class FittedRows:
    """The rows of a run, none of them longer than the limit.

    Attributes:
        data: The examples without those that were dropped; the summary says what was done.
        encoding: How they became tokens, with the limit that holds now.
        sides: The tokens of the examples.
        inferred: What was decided and not given.
    """

    data: Prepared
    encoding: Encoding
    sides: Sides
    inferred: list[InferredSetting] = field(default_factory=list)


def fit_rows(settings: FinetuneSettings, inputs: Inputs, encoding: Encoding) -> FittedRows:
    """Tokenize the rows of both sides, and see to those that are longer than ``encoding.max_length``.

    Raises:
        InputError: With what is wrong on either side, or with the long rows where they may not be dropped.
    """
    sides, inferred = _tokenized(inputs, encoding), []
    if settings.max_length is None and settings.on_long is None:
        limit = raised_limit(sides, encoding.max_length, inputs.tokenizer, inputs.base)
        if limit > encoding.max_length:
            long = _LongRows(sides, [rows.answer_cut for rows in sides])
            why = f"{long.count:,} of {long.total:,} rows have more than {encoding.max_length:,} tokens"
            inferred.append(InferredSetting("max_length", limit, why))
            encoding = replace(encoding, max_length=limit)
            sides = _tokenized(inputs, encoding)
    return _decided(settings, inputs, FittedRows(inputs.data, encoding, sides, inferred))


def _tokenized(inputs: Inputs, encoding: Encoding) -> Sides:
    """The rows of both sides; what is wrong on either is said together."""
    problems = Problems()
    examples = inputs.data.train, inputs.data.eval
    sides = Sides(*(TokenTable(inputs.task.encode(side, encoding, problems)) for side in examples))
    problems.raise_if_any()
    return sides


def raised_limit(sides: Sides, limit: int, tokenizer: Any, base: Base) -> int:
    """Return a limit that leaves few rows with a cut answer; ``limit`` where it does so, or none that is possible does.

    It is the length of the longest row that the model reads and the memory has room for.
    """
    megabytes = token_megabytes(base.text_config)
    most = min(model_limit(tokenizer, base), int(memory_available_mb() / megabytes))
    lengths = np.concatenate([limit + rows.cut[rows.answer_cut] for rows in sides])
    raised = int(lengths[lengths <= most].max(initial=limit))
    before = _LongRows(sides, [rows.answer_cut for rows in sides])
    after = _LongRows(sides, [rows.answer_cut & (limit + rows.cut > raised) for rows in sides])
    return raised if after.are_few and not before.are_few else limit


def _decided(settings: FinetuneSettings, inputs: Inputs, found: FittedRows) -> FittedRows:
    """``found`` without the rows that are dropped, and with what is said of them and of those that were truncated.

    Raises:
        InputError: If the rows may not be dropped, or nothing would be left.
    """
    train, held_out = found.sides
    drop = [
        _to_drop(train, settings.on_long),
        too_long_to_judge(held_out, settings.on_long, inputs.base, found.encoding),
    ]
    dropped = _LongRows(found.sides, drop)
    truncated = _LongRows(found.sides, [(rows.cut > 0) & ~mask for rows, mask in zip(found.sides, drop, strict=True)])
    words = _Words(settings, inputs, found.encoding.max_length)
    if dropped.count:
        may_drop = settings.on_long in {"drop", "truncate"} or (settings.on_long is None and dropped.are_few)
        emptied = [side for side, mask in zip(("train on", "hold out"), drop, strict=True) if len(mask) and mask.all()]
        if emptied or not may_drop:
            raise InputError(words.refused(dropped, emptied if may_drop else []), remedy=words.remedy(dropped))
    data = _without(inputs.data, drop) if dropped.count else inputs.data
    said = [*data.summary["warnings"], *words.dropped(dropped), *words.truncated(truncated)]
    summary = {**data.summary, "dropped": dropped.count, "truncated": truncated.count, "warnings": said}
    sides = Sides(*(rows.take(~mask) for rows, mask in zip(found.sides, drop, strict=True)))
    return replace(found, data=replace(data, summary=summary), sides=sides)


def _to_drop(rows: TokenTable, on_long: str | None) -> NDArray[np.bool_]:
    """The rows that cannot stay as they are now; with ``"error"``, those for which there must be none."""
    if on_long == "truncate":
        return (rows.cut > 0) & ~rows.has_answer
    return rows.answer_cut if on_long is None else rows.cut > 0


def too_long_to_judge(rows: TokenTable, on_long: str | None, base: Base, encoding: Encoding) -> NDArray[np.bool_]:
    """Return which held-out rows cannot stay as they are now: truncated or not, they are judged by whole answers."""
    drop = _to_drop(rows, on_long)
    if reads_no_more(base):
        drop = drop | (rows.answer_cut & (encoding.max_length + rows.cut > model_limit(encoding.tokenizer, base)))
    return drop


def _without(data: Prepared, drop: list[NDArray[np.bool_]]) -> Prepared:
    train, held_out = data.train.take(~drop[0]), data.eval.take(~drop[1])
    labels = {"labels": label_counts(train)} if "labels" in data.summary else {}
    return replace(data, train=train, eval=held_out, summary={**data.summary, **labels})


class _LongRows:
    """Some rows that are too long. A conversation is one row, whatever number of its answers it is for.

    Attributes:
        count: Their number.
        held_out: How many of them are held out.
        cut: The greatest number of tokens that there is no room for.
        places: Where the first of them are.
        lost: The share of all tokens that there is no room for.
    """

    def __init__(self, sides: Sides, chosen: list[NDArray[np.bool_]]) -> None:
        self._origins, self._chosen = [rows.origins for rows in sides], chosen
        self._long = [np.unique(side[mask]) for side, mask in zip(self._origins, chosen, strict=True)]
        self.count, self.held_out = sum(map(len, self._long)), len(self._long[1])
        self.cut = max(int(rows.cut[mask].max(initial=0)) for rows, mask in zip(sides, chosen, strict=True))
        first = [
            rows[int(place)].origin
            for rows, mask in zip(sides, chosen, strict=True)
            for place in np.flatnonzero(mask)[: 8 * MOST_PLACES]
        ]
        ordered = sorted(dict.fromkeys(first), key=lambda origin: (origin.file, origin.line))
        self.places = shown_places(ordered, self.count)
        tokens = sum(int(rows.lengths.sum() + rows.cut.sum()) for rows in sides)
        lost = sum(int(rows.cut[mask].sum()) for rows, mask in zip(sides, chosen, strict=True))
        self.lost = lost / max(1, tokens)

    @cached_property
    def total(self) -> int:
        """The number of all rows."""
        return sum(len(np.unique(side)) for side in self._origins)

    @property
    def in_part(self) -> int:
        """Of how many of them another answer is not too long."""
        others = (side[~mask] for side, mask in zip(self._origins, self._chosen, strict=True))
        return sum(int(np.isin(long, side).sum()) for long, side in zip(self._long, others, strict=True))

    @property
    def are_few(self) -> bool:
        """Whether they are under 1 % of the rows."""
        return not self.count or self.count < FEW * self.total


class _Words:
    """What is said of long rows.

    Args:
        settings: The settings as given.
        inputs: The model, and its tokenizer.
        limit: The maximum number of tokens in a row.
    """

    def __init__(self, settings: FinetuneSettings, inputs: Inputs, limit: int) -> None:
        self._limit, self._model_limit = limit, model_limit(inputs.tokenizer, inputs.base)
        self._reads_no_more = reads_no_more(inputs.base)
        self._megabytes = token_megabytes(inputs.base.text_config)
        given = settings.max_length is not None
        self._named = f"--max_length {limit}" if given else f"the default limit of {limit:,} tokens"

    def refused(self, long: _LongRows, emptied: list[str]) -> str:
        """The error for rows that may not be dropped, or without which no rows are left to do what ``emptied`` says."""
        left = f"; no rows are left to {' or to '.join(emptied)}" if emptied else ""
        what = f"{self._of(long)} {'is' if long.count == 1 else 'are'} longer than {self._named}"
        return f"{what}: {long.places}; the longest has {self._longest(long)}{left}"

    def remedy(self, long: _LongRows) -> str:
        """What to do about them."""
        others = "--on_long drop omits such rows, --on_long truncate cuts off their ends"
        return f"{self._holding(long)}; {others}"

    def dropped(self, long: _LongRows) -> Iterator[str]:
        """The warning on rows that were dropped."""
        if long.count:
            judged = f"; {long.held_out:,} of them held out, so not judged" if long.held_out else ""
            parts = f"; of {long.in_part:,}, the other answers are kept" if long.in_part else ""
            yield (
                f"{self._of(long)} dropped, longer than {self._named}: {long.places}{judged}{parts}. "
                f"The longest has {self._longest(long)}: {self._holding(long)}"
            )

    def truncated(self, long: _LongRows) -> Iterator[str]:
        """The warning on rows that were truncated."""
        if long.count:
            yield (
                f"{self._of(long)} truncated to {self._named}, {long.lost:.1%} of all tokens: {long.places}. "
                f"The longest has {self._longest(long)}: {self._holding(long)}"
            )

    def _of(self, long: _LongRows) -> str:
        return f"{long.count:,} of {long.total:,} rows"

    def _longest(self, long: _LongRows) -> str:
        return f"{self._limit + long.cut:,} tokens"

    def _holding(self, long: _LongRows) -> str:
        """The one limit that holds all rows, and what speaks against it."""
        longest = self._limit + long.cut
        if longest > self._model_limit and self._reads_no_more:
            return f"the model accepts at most {self._model_limit:,}"
        against = [f"the model was made for at most {self._model_limit:,}"] if longest > self._model_limit else []
        memory = longest * self._megabytes
        if memory > memory_available_mb():
            against.append(f"the longest needs some {memory / 1000:.1f} GB of memory")
        return f"--max_length {longest} holds all of them{', but ' if against else ''}{' and '.join(against)}"
