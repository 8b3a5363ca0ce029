"""Text that was decoded with a wrong encoding, and characters that were lost in decoding."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from graft.data.checks.base import Finding, prepare_command
from graft.data.checks.spotted import Spotted, around, counted_rows
from graft.data.checks.view import CheckedData, Side, texts_of
from graft.data.mojibake import first_difference, repaired
from graft.data.personal import shown_around

LOST = "\ufffd"


class Encoding:
    """``cafÃ©`` for ``café``, and the replacement character in place of what could not be decoded."""

    name = "encoding"
    title = "Wrong encoding"

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for each of both, and each side."""
        for side in data.own_sides:
            wrong, lost = _spotted(side, data.read_columns())
            if len(wrong):
                yield Finding(
                    "mojibake",
                    "warning",
                    f"{counted_rows(len(wrong), 'was', 'were')} decoded with a wrong encoding",
                    wrong.rows,
                    why="the model learns to write such characters, and does not recognize the words in clean text",
                    remedy="repair the text; where many rows are concerned, correct how the file was made",
                    fix=prepare_command("--steps encoding"),
                    evidence=tuple(wrong.evidence),
                    side=side.name,
                )
            if len(lost):
                yield Finding(
                    "replacement_characters",
                    "warning",
                    f"{counted_rows(len(lost), 'has', 'have')} the character U+FFFD, which stands for a lost one",
                    lost.rows,
                    why="what it replaced cannot be restored from this file",
                    remedy="make the file again from its source, or remove these rows",
                    evidence=tuple(lost.evidence),
                    side=side.name,
                )


def _spotted(side: Side, columns: frozenset[str] | None) -> tuple[Spotted, Spotted]:
    wrong, lost = Spotted(), Spotted()
    for row in side.rows:
        for place, text in texts_of(row, columns):
            if text.isascii():
                continue
            better = repaired(text)
            if better != text:
                wrong.add(row.origin, partial(_both, place, text, better))
            if LOST in text:
                lost.add(row.origin, partial(around, place, text, text.index(LOST), text.index(LOST) + 1))
    return wrong, lost


def _both(place: str, text: str, better: str) -> str:
    at = first_difference(text, better)
    return f"{place}: {shown_around(text, at, at)} → {shown_around(better, at, at)}"
