"""Rows that are longer than a model can read."""

from __future__ import annotations

from collections.abc import Sequence

from graft.data.example import Example, shown_places
from graft.errors import InputError


def check_lengths(examples: Sequence[Example], lengths: Sequence[int], most: int | None) -> None:
    """Check that no row is too long.

    Raises:
        InputError: Naming the rows whose length in tokens is above ``most``; None: any length may be read.
    """
    long = [] if most is None else [e.origin for e, n in zip(examples, lengths, strict=True) if n > most]
    if long:
        raise InputError(
            f"{len(long):,} of {len(examples):,} rows are longer than the {most:,} tokens that the model accepts; "
            f"the longest has {max(lengths):,}",
            where=shown_places(long),
            remedy="shorten these rows, or leave them out",
        )
