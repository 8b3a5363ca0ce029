"""Rows as a model sees them, for people: what it reads, and what it is trained to give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from graft.data.personal import masked
from graft.data.tokenize import TokenizedExample
from graft.plain_text import mask_secrets

if TYPE_CHECKING:
    from rich.console import Console

_SAID = "marks the tokens that the loss is computed on."


@dataclass(frozen=True)
class ShownRow:
    """A row as text, its special tokens included; personal data and secrets are masked.

    Attributes:
        origin: Where the row came from.
        prompt: What the model reads.
        trained: What it is trained to give.
        tokens: How many tokens are read only, and how many are trained on.
        cut: The number of tokens that there was no room for.
    """

    origin: str
    prompt: str
    trained: str
    tokens: tuple[int, int]
    cut: int

    def record(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return {**vars(self), "tokens": list(self.tokens)}


def shown_rows(
    rows: Sequence[TokenizedExample], count: int, preview: Callable[[TokenizedExample], tuple[str, str]]
) -> list[ShownRow]:
    """Return the first rows.

    Args:
        rows: All rows.
        count: How many to return.
        preview: A row -> what the model reads, and what it is trained to give.
    """
    return [_shown(row, *preview(row)) for row in islice(rows, count)]


def _shown(row: TokenizedExample, prompt: str, trained: str) -> ShownRow:
    counts = (row.prompt_length, len(row.input_ids) - row.prompt_length)
    return ShownRow(str(row.origin), _hidden(prompt), _hidden(trained), counts, row.cut)


def _hidden(text: str) -> str:
    return mask_secrets(masked(text))


def print_rows(rows: Sequence[ShownRow], console: Console | None = None, more: str = "") -> None:
    """Print rows, what is trained in color; or between marks, where there are no colors.

    Args:
        rows: The rows.
        console: The terminal; None prints with marks.
        more: A sentence to end with.
    """
    has_colors = console is not None and console.is_terminal and console.color_system is not None
    for row in rows:
        print("\n--- " + ", ".join(_counted(row)))
        if console is not None and has_colors:
            from rich.text import Text

            console.print(Text(row.prompt).append(row.trained, style="black on green"), soft_wrap=True)
        else:
            print(f"{row.prompt}⟦{row.trained}⟧")
    if rows:
        print(f"\n{'Green' if has_colors else '⟦…⟧'} {_SAID}{more}")


def _counted(row: ShownRow) -> Iterator[str]:
    read, trained = row.tokens
    yield f"{row.origin}: {read} tokens{' in the prompt' if trained else ''}"
    if trained:
        yield f"{trained} trained on"
    if row.cut:
        yield f"{row.cut} cut off"
