"""Columns with two texts and how similar they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from graft.config import DataSettings
from graft.data.columns.base import ColumnMapping, by_name, first_of
from graft.data.example import Example, Origin, PairExample, as_text
from graft.data.inferred import InferredSetting
from graft.data.readers import Row
from graft.data.values import listed_names
from graft.documents import shown
from graft.errors import InputError

PAIRS = (
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("question1", "question2"),
    ("sentence_A", "sentence_B"),
    ("sentence_a", "sentence_b"),
    ("text_a", "text_b"),
    ("first", "second"),
)
SIMILARITY = ("label", "similarity", "score", "similarity_score", "relatedness_score", "is_duplicate", "similar")


class PairColumns(NamedTuple):
    """The two texts' columns and that of the label."""

    first: str
    second: str
    label: str


def pair_columns(columns: Sequence[str]) -> PairColumns | None:
    """Return the columns of a pair, where there are such."""
    label = first_of(columns, SIMILARITY)
    pair = next((pair for pair in PAIRS if set(pair) <= set(columns)), None)
    return PairColumns(*pair, label) if pair is not None and label is not None else None


def text_pairs(
    rows: Sequence[Row], settings: DataSettings, generation_prompt: str | None = None, labels: list[str] | None = None
) -> ColumnMapping:
    """Read two texts and a number that says how similar they are: 0 or 1, or any scale from 0, which is brought to 0–1.

    Raises:
        InputError: When there are no such columns.
    """
    columns = list(rows[0].columns)
    used = pair_columns(columns)
    if used is None:
        known = ", ".join("/".join(pair) for pair in PAIRS)
        raise InputError(
            f"feature-extraction needs two texts and a label; the columns are {listed_names(columns)}",
            where=str(rows[0].origin),
            remedy=f"columns named {known}, and one of {', '.join(SIMILARITY)}",
        )
    first, second, label = used
    scale = max([1.0, *(number for row in rows if (number := _as_number(row.columns.get(label))) is not None)])

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        """Make an example whose similarity is from 0 to 1, whatever the scale and the meaning of the labels.

        Raises:
            InputError: If the label is no number of at least 0.
        """
        similarity = _number(row[label], origin) / scale
        similarity = 1 - similarity if settings.pair_label == "different" else similarity
        rounded = float(f"{min(similarity, 1.0):g}")  # so that the row reads the same in the run folder
        return [PairExample(as_text(row[first]), as_text(row[second]), rounded, origin)]

    kind = "/".join(used)
    said = [by_name(kind, *used)]
    if scale > 1:
        said.append(InferredSetting("label_scale", scale, "the largest label, which means 1"))
    return ColumnMapping(kind, used, convert, None, said, [], exhaustive=True)


def _number(value: Any, origin: Origin) -> float:
    number = _as_number(value)
    if number is None:
        raise InputError(f"the label of a pair must be a number of at least 0, not {shown(value)}", where=str(origin))
    return number


def _as_number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number < float("inf") else None
