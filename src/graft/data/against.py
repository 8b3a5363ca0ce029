"""Rows that must not be in the training data, such as those of a benchmark: read by what they ask.

They seldom have the columns of the training data, and their answers do not matter: what they ask is shaped as the
training data's prompts are, so that equal questions become equal prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from graft.config import DataSettings
from graft.data.asked import prompt_columns
from graft.data.chat_formats import LISTS, holds_messages, read_conversation
from graft.data.columns.base import ColumnMapping, first_of
from graft.data.columns.names import DOCUMENTS, PROMPTS, TEXTS
from graft.data.example import (
    AnswerExample,
    ClassExample,
    Example,
    Message,
    MultiLabelExample,
    Origin,
    PairExample,
    TaggedExample,
    as_text,
)
from graft.data.example_set import ExampleSet
from graft.data.faults import Faults
from graft.data.quality import normalized
from graft.data.readers import Row
from graft.data.sources import Loaded, load_readable, settings_of_files
from graft.data.values import listed_names
from graft.errors import GraftError

_ASKED = (*LISTS, *PROMPTS, *TEXTS, *DOCUMENTS, "problem", "ctx", "goal")
"""Columns that ask, where rows lack those of the training data."""
_UNWRITTEN = "…"


def load_against(settings: DataSettings, files: Sequence[str], token: str | None = None) -> Loaded:
    """Return the rows of such files that can be read, and in ``faults`` what is wrong with the others.

    Args:
        settings: How the training data is read.
        files: The files.
        token: The access token for the Hugging Face hub.

    Raises:
        InputError: If no row can be read at all.
    """
    return load_readable(settings_of_files(settings, files), token)


def prompts_against(rows: Sequence[Row], train: Sequence[Row], mapping: ColumnMapping, faults: Faults) -> ExampleSet:
    """Return what rows ask, in the form of the training data's prompts; with their answers where they fit, too.

    Args:
        rows: The rows.
        train: Rows of the training data, the first of which show what its columns hold.
        mapping: How the training data is read.
        faults: Takes why rows cannot be compared.
    """
    counts = Counter(name for row in rows for name in row.columns)
    usual = [name for name, count in counts.items() if 2 * count >= len(rows)]
    asked = prompt_columns(mapping) or mapping.columns
    lacking = [name for name in mapping.columns if name in asked and name not in usual]
    own = first_of(usual, _ASKED) if len(lacking) == 1 else None
    if lacking and own is None and len(rows):
        known = f"their columns are {listed_names(usual) or 'not the same'}"
        faults.add(f"the rows lack {listed_names(lacking)}, which the training data asks by: {known}", rows[0].origin)
        return ExampleSet.of([])
    samples = {name: _sample(train, name) for name in mapping.columns}
    form = _Form(mapping, tuple(asked), samples, lacking[0] if lacking else "", own or "")
    return ExampleSet.of(form.examples(rows, faults))


def _sample(rows: Sequence[Row], name: str) -> Any:
    return next((value for row in rows if (value := row.columns.get(name)) is not None), None)


@dataclass(frozen=True)
class _Form:
    """How the rows become examples.

    Attributes:
        mapping: How the training data is read.
        asked: The columns of its prompts.
        samples: A value of each of its columns.
        lacking: The column of its prompts that the rows lack; empty where they lack none.
        own: The column that takes its place; empty where none is lacking.
    """

    mapping: ColumnMapping
    asked: tuple[str, ...]
    samples: Mapping[str, Any]
    lacking: str
    own: str

    def examples(self, rows: Sequence[Row], faults: Faults) -> Iterator[Example]:
        """Yield the examples of rows; why others have none goes to ``faults``."""
        asked = [self.own if name == self.lacking else name for name in self.mapping.columns if name in self.asked]
        for row in rows:
            missing = [name for name in asked if row.columns.get(name) is None]
            if missing:
                faults.add(f"the row lacks {listed_names(missing)}", row.origin)
                continue
            try:
                yield from map(normalized, self._made(row))
            except GraftError as error:
                faults.take(error.problems, str(row.origin))

    def _made(self, row: Row) -> Sequence[Example]:
        """The examples of a row: with its own answer where it has one that fits, else without any."""
        columns = self._shaped(row)
        if not self.lacking and all(columns.get(name) is not None for name in self.mapping.columns):
            with suppress(GraftError):
                made = self.mapping.convert(columns, row.origin)
                if made:
                    return made
        made = self.mapping.convert(self._answered(columns, row.origin), row.origin)
        return [without_target(made[-1])] if made else ()

    def _shaped(self, row: Row) -> dict[str, Any]:
        """The columns of a row with its prompt as the training data has it: a text, or messages."""
        name = self.lacking or self.asked[0]
        value, sample = row.columns[self.own or name], self.samples[name]
        turns = _turns(value, row.origin) if holds_messages(value) else []
        turns = _unanswered(turns) if self.lacking else turns
        if holds_messages(sample):
            system = [] if any(map(_is_system, turns)) else filter(_is_system, _turns(sample, row.origin))
            value = [*system, *(turns or [{"role": "user", "content": as_text(value)}])]
        elif turns:
            value = "\n\n".join(as_text(turn.get("content") or "") for turn in turns if turn.get("role") == "user")
        return {**row.columns, name: value}

    def _answered(self, columns: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
        """The columns with an answer, which is taken away again."""
        filled = dict(columns)
        if len(self.mapping.columns) == 1 and holds_messages(filled[self.asked[0]]):
            asked = _unanswered(_turns(filled[self.asked[0]], origin))
            return filled | {self.asked[0]: [*asked, {"role": "assistant", "content": _UNWRITTEN}]}
        words = filled[self.asked[0]]
        for name in self.mapping.columns:
            sample = self.samples[name]
            if name not in self.asked:  # of words, each has a tag
                are_tags = isinstance(sample, list) and isinstance(words, list) and not holds_messages(sample)
                filled[name] = sample[:1] * len(words) if are_tags else sample
        return filled


def _unanswered(turns: Sequence[Message]) -> Sequence[Message]:
    """The turns before the last answer, where a conversation ends with one."""
    last = next((place for place in range(len(turns), 0, -1) if turns[place - 1].get("role") != "assistant"), 0)
    return turns[:last]


def _is_system(turn: Message) -> bool:
    return turn.get("role") == "system"


def _turns(value: Any, origin: Origin) -> Sequence[Message]:
    return [turn.message for turn in read_conversation(value, "the prompt", origin).turns]


def without_target(example: Example) -> Example:
    """Return an example without what is to be learned of it."""
    if isinstance(example, AnswerExample):  # a plain text is read and learned
        is_text = example.prompt == ""
        return example if is_text else replace(example, completion="", label=None, answer=None, alternatives=())
    if isinstance(example, ClassExample):
        return replace(example, label="")
    if isinstance(example, MultiLabelExample):
        return replace(example, labels=())
    if isinstance(example, TaggedExample):
        return replace(example, tags=())
    assert isinstance(example, PairExample)
    return replace(example, similarity=0.0)
