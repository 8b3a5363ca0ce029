"""How long the rows of data are, as histograms."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.data.checks import CheckedData, texts_of
from graft.data.personal import shown_text
from graft.data.token_table import row_lengths

BINS = 40
MOST_COLUMNS = 8
LAST = 0.995
"""The share of the rows that the axis ends at; longer ones are in the last bin."""


@dataclass(frozen=True)
class Figure:
    """A histogram: the number of rows in each bin, and what there is to say of it."""

    title: str
    unit: str
    counts: list[int]
    edges: list[float]
    said: str


def distributions(data: CheckedData) -> Iterator[Figure]:
    """Yield the lengths of the columns in characters, and with a model those of rows in tokens."""
    for name, lengths in _column_lengths(data).items():
        if any(lengths) and not _is_class(data, lengths):
            yield _figure(name, "characters", np.array(lengths))
    for side in data.tokens.sides if data.tokens is not None else ():
        if side.name == "train" and len(side.rows):
            yield _figure("Rows", "tokens", row_lengths(side.rows))


def _column_lengths(data: CheckedData) -> dict[str, array[int]]:
    """The characters of each row's texts, by column, in the order of the columns."""
    columns = data.read_columns()
    found: dict[str, array[int]] = {}
    for row in data.train.rows:
        lengths: dict[str, int] = {}
        for place, text in texts_of(row, columns):
            name = place if place in row.columns else re.split(r"[.[]", place, maxsplit=1)[0]
            lengths[name] = lengths.get(name, 0) + len(text)
        for name, length in lengths.items():
            if name in found or len(found) < MOST_COLUMNS:
                found.setdefault(name, array("q")).append(length)
    return found


def _is_class(data: CheckedData, lengths: array[int]) -> bool:
    """Whether a column has the length of a class in every row."""
    return bool(data.labels) and {*lengths} <= {len(label) for label in data.labels or ()}


def _figure(title: str, unit: str, lengths: NDArray[Any]) -> Figure:
    longest = int(lengths.max())
    last = max(int(np.quantile(lengths, LAST, method="higher")), 1)
    step = max(1, -(-last // BINS))
    edges = np.arange(0, last + step + 1, step)
    counts, _ = np.histogram(np.minimum(lengths, edges[-1] - 1), edges)
    beyond = int((lengths >= edges[-1]).sum())
    said = f"median {int(np.median(lengths)):,}, longest {longest:,} {unit}"
    said += f"; the {beyond:,} rows beyond {int(edges[-1]):,} are in the last bar" if beyond else ""
    return Figure(shown_text(title), unit, counts.tolist(), edges.astype(float).tolist(), said)
