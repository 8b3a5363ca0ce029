"""Splits by what stands in a column: equal values on one side, or the newest rows on the other."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.data.aligned import with_places
from graft.data.example_set import ExampleSet, Hashes, text_hash
from graft.data.faults import Faults
from graft.data.readers import Row
from graft.data.split import Split, groups_of
from graft.data.values import listed_names, nothing
from graft.errors import InputError, did_you_mean

Times = NDArray[np.float64]


def groups_by(rows: Sequence[Row], examples: ExampleSet, column: str) -> Hashes:
    """Return a hash of each example's value in a column; 0 where its row has none.

    Raises:
        InputError: If no row has the column.
    """
    values = _values(rows, examples, column, "--group_column")
    return np.array(
        [0 if nothing(value) else text_hash(json.dumps(value, sort_keys=True)) for value in values], np.uint64
    )


def times_by(rows: Sequence[Row], examples: ExampleSet, column: str) -> Times:
    """Return the time of each example: a number, or seconds by an ISO 8601 date.

    Raises:
        InputError: If no row has the column; naming each row whose value is neither.
    """
    faults = Faults()
    found: list[float] = []
    kinds: set[str] = set()
    for example, value in zip(examples, _values(rows, examples, column, "--time_column"), strict=True):
        kind, time = _time(value)
        kinds.add(kind)
        if not kind:
            what = f"the column {column!r} has no time: {str(value)[:40]!r}"
            faults.add(what, example.origin, "write numbers, or dates as 2026-01-31 or 2026-01-31T12:00:00")
        found.append(time)
    if {"number", "date"} <= kinds:
        faults.add(f"the column {column!r} has numbers in some rows, and dates in others", "--time_column")
    faults.raise_if_any()
    return np.array(found, np.float64)


def hold_out_newest(examples: ExampleSet, share: float, times: Times, together: Hashes | None = None) -> Split:
    """Hold out the newest rows; what belongs together is as old as its oldest row, so no held-out row is an old one.

    Args:
        examples: The examples.
        share: The share of the rows that no program has added.
        times: The time of each example.
        together: As for ``hold_out``.

    Raises:
        InputError: When nothing would be left on one side.
    """
    groups, was_added = groups_of(examples, together), examples.sources != 0
    sizes = np.bincount(groups.leaders[~was_added], minlength=len(examples))
    oldest = np.full(len(examples), math.inf)
    np.minimum.at(oldest, groups.leaders[~was_added], times[~was_added])
    leaders = np.flatnonzero(sizes)
    left = max(1, round(share * int(sizes.sum())))
    held = np.zeros(len(examples), bool)
    for leader in leaders[np.lexsort((-leaders, -oldest[leaders]))].tolist():
        if sizes[leader] <= left:
            held[leader], left = True, left - int(sizes[leader])
    is_held = held[groups.leaders]
    if not is_held.any() or is_held[~was_added].all():
        what = "the newest rows cannot be held out: too many rows belong together"
        raise InputError(what, where="--time_column", remedy="ask for more rows, or omit --group_column")
    return Split(examples.take(~is_held), examples.take(is_held & ~was_added))


def _values(rows: Sequence[Row], examples: ExampleSet, column: str, option: str) -> Iterator[Any]:
    """The value in a column of the row of each example."""
    if not any(column in row.columns for row in rows):
        there = dict.fromkeys(rows[0].columns)
        what = f"no row has the column {column!r}; there are: {listed_names(there)}"
        raise InputError(what, where=option, remedy=did_you_mean(column, there))
    for row, places in with_places(rows, examples):
        yield from repeat(row.columns.get(column), len(places))


def _time(value: Any) -> tuple[str, float]:
    """The kind of a time, ``number`` or ``date``, and the time as a number; no kind for another value."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return ("number", float(value)) if math.isfinite(value) else ("", 0.0)
    if not isinstance(value, str):
        return "", 0.0
    text = value.strip()
    with suppress(ValueError):
        number = float(text)
        return ("number", number) if math.isfinite(number) else ("", 0.0)
    try:
        date = datetime.fromisoformat(text.removesuffix("Z") + "+00:00" * text.endswith("Z"))
    except ValueError:
        return "", 0.0
    return "date", (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()
