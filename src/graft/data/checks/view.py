"""The data that checks look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graft.data.asked import lacks_prompt
from graft.data.columns import ColumnMapping
from graft.data.example_set import ExampleSet
from graft.data.faults import Faults
from graft.data.located import Located
from graft.data.readers import Row
from graft.errors import Problem
from graft.progress import SILENT, Reporter

if TYPE_CHECKING:
    from graft.data.token_table import TokenTable
    from graft.data.tokenize import TokenizedExample

Embed: TypeAlias = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts -> one row each, shape (texts, size), of length 1: the embeddings of an encoder."""


@dataclass(frozen=True)
class Side:
    """Rows that are trained on (``train``), judged by (``eval``), or compared with (``against``).

    Attributes:
        name: Which of the three.
        rows: The rows as they were read from the files; empty where the examples were not made from files.
        examples: What was made of them; empty where the columns were not recognized.
        source: The files, as they are named.
    """

    name: str
    rows: Sequence[Row]
    examples: ExampleSet
    source: str = ""


@dataclass(frozen=True)
class TokenizedSide:
    """The rows of a side as a model sees them, cut to ``Tokens.max_length``.

    Attributes:
        name: The side.
        rows: One for each example of the side that could be tokenized, in its order.
        needed: The ``max_length`` that would hold each of them.
        refused: The rows that could not be tokenized, as when the chat template refuses them.
        problems: Why, the first of each kind.
    """

    name: str
    rows: TokenTable
    needed: NDArray[np.int64]
    refused: Located
    problems: Sequence[Problem] = ()


@dataclass(frozen=True)
class Tokens:
    """What is known with a model.

    Attributes:
        tokenizer: The model's, with the chat template that is used.
        sides: The rows of each side.
        max_length: The maximum number of tokens of a row: given, or inferred.
        raised: The limit that ``graft finetune`` would take in its place; the same unless many rows are longer.
        limit: The maximum number of tokens that the model was made for.
        reads_no_more: Whether the model fails on longer rows.
        on_long: What is to be done with rows longer than ``max_length``; None where it is not given.
        ends: The special tokens, one of which ends each answer.
        template_ends: Whether the chat template ends answers with a token; None where there is no template.
        preview: A row -> what the model reads and what it is trained to give, as texts.
    """

    tokenizer: Any
    sides: Sequence[TokenizedSide]
    max_length: int
    raised: int
    limit: int
    reads_no_more: bool
    on_long: str | None
    ends: frozenset[int]
    template_ends: bool | None
    preview: Callable[[TokenizedExample], tuple[str, str]]

    @property
    def generates(self) -> bool:
        """Whether the model writes its answers, rather than a head giving them."""
        return not any(side.rows.has_targets for side in self.sides)


@dataclass
class CheckedData:
    """Rows, and what is known about them.

    Attributes:
        train: The rows to train on.
        eval: The rows to judge by, given or held out; None where there are none.
        against: Further rows that must not be in the training data (``--against``).
        mapping: How the columns are read; None where they are not recognized.
        faults: What is wrong with rows that could not be read or converted.
        uncompared: Why rows of ``against`` are not compared with the training data.
        labels: The classes, where answers are such.
        seed: Decides what is sampled.
        embed: Makes embeddings; None where no encoder is there.
        tokens: The rows as a model sees them; None without a model.
        preferences: Why the rows are refused, where they are preferences; the examples are of their good answers.
        reporter: Shows the progress of long checks.
    """

    train: Side
    eval: Side | None = None
    against: Side | None = None
    mapping: ColumnMapping | None = None
    faults: Faults = field(default_factory=Faults)
    labels: list[str] | None = None
    seed: int = 42
    embed: Embed | None = None
    tokens: Tokens | None = None
    preferences: Problem | None = None
    reporter: Reporter = SILENT
    uncompared: Faults = field(default_factory=Faults)
    _asking: dict[str, ExampleSet] = field(default_factory=dict, repr=False)

    @property
    def sides(self) -> Iterator[Side]:
        """The sides that there are."""
        return (side for side in (self.train, self.eval, self.against) if side is not None)

    @property
    def own_sides(self) -> Iterator[Side]:
        """The sides that are trained on or judged by: of ``against`` it only matters what it asks."""
        return (side for side in (self.train, self.eval) if side is not None)

    def read_columns(self) -> frozenset[str] | None:
        """Return the columns that prompts and answers come from; None where all are looked at."""
        return None if self.mapping is None else frozenset((*self.mapping.columns, *self.mapping.optional))

    def asking(self, side: Side) -> ExampleSet:
        """Return the examples of a side whose prompt is not empty: others are not alike, whatever stands before it."""
        if side.name not in self._asking:
            empty = {row.origin for row in side.rows if self.mapping is not None and lacks_prompt(row, self.mapping)}
            kept = np.fromiter((example.origin not in empty for example in side.examples), bool) if empty else None
            self._asking[side.name] = side.examples if kept is None else side.examples.take(kept)
        return self._asking[side.name]


def texts_of(row: Row, columns: frozenset[str] | None = None) -> Iterator[tuple[str, str]]:
    """Yield the texts in a row, at any depth, with where they are: ``messages[0].content``.

    Args:
        row: The row.
        columns: The columns to look at; None for all.
    """
    for name, value in row.columns.items():
        if columns is None or name in columns:
            yield from _texts_in(value, name)


def _texts_in(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            yield from _texts_in(each, f"{place}[{number}]")
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _texts_in(each, f"{place}.{name}")
