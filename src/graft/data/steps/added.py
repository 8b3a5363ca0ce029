"""What steps that add rows share: where the text of a row is that a person wrote, and which texts are taken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graft.config import DataSettings
from graft.data.checks.view import texts_of
from graft.data.columns import TEXTS, ColumnMapping
from graft.data.example import AnswerExample, Example, Origin
from graft.data.example_set import ExampleSet, source_key, text_hash
from graft.data.near import near_twins
from graft.data.provenance import PROVENANCE, provenance_of, was_added
from graft.data.readers import Row
from graft.data.spelling import folded
from graft.data.steps.base import JUDGED, Sides, StepContext
from graft.data.templates import parse_template
from graft.errors import GraftError, InputError

_WORD = re.compile(r"\w+")
_USERS = ("user", "human")
_READABLE = frozenset((*TEXTS, "prompt", "question", "input", "document", "article", "dialogue"))
Place = tuple[str | int, ...]
"""Where a text is in the columns of a row: ``("messages", 0, "content")``."""


@dataclass(frozen=True)
class Source:
    """A row that others are made from.

    Attributes:
        row: The row.
        text: Its input, without the instruction that the settings put before it.
        place: Where that text is.
        example: What the row is converted to.
        key: Its ``source_key``.
    """

    row: Row
    text: str
    place: Place
    example: Example
    key: str

    @property
    def answer_words(self) -> frozenset[str]:
        """The words of the answer, folded: what is quoted from the input must stay as it is."""
        return frozenset(words(self.example.written))

    def made(self, text: str, provenance: Mapping[str, Any]) -> Row:
        """Return the row with another input, marked as added."""
        columns = _replaced(self.row.columns, self.place, text)
        marked = {**provenance, "source": str(self.row.origin), "of": self.key}
        return Row({**columns, PROVENANCE: marked}, replace(self.row.origin, added=True))


def words(text: str) -> list[str]:
    """Return the words of a text without letter case and signs."""
    return _WORD.findall(folded(text))


def _replaced(value: Any, place: Place, text: str) -> Any:
    if not place:
        return text
    if isinstance(value, Mapping):
        return {name: _replaced(each, place[1:], text) if name == place[0] else each for name, each in value.items()}
    return [_replaced(each, place[1:], text) if n == place[0] else each for n, each in enumerate(value)]


class Sources:
    """Finds in each row the text that may be changed while the answer stays right.

    Args:
        mapping: How the rows are read.
        settings: The templates, where such are given.
        step: The step, for messages.

    Raises:
        InputError: If rows of this kind have no such text.
    """

    def __init__(self, mapping: ColumnMapping, settings: DataSettings, step: str) -> None:
        self._mapping, self._settings = mapping, settings
        kind, (first, _, rest) = mapping.kind, mapping.kind.partition("/")
        if kind.startswith("tokens/"):
            raise _refused(step, kind, "each word has its tag, and a changed text would have others")
        if kind == "text" or not (kind in _WHOLE or (first in _READABLE and rest)):
            raise _refused(step, kind, "no text of theirs is read only, so a change would be learned")

    def of(self, row: Row) -> Source | None:
        """Return the row as a source; None where it was added itself, has several turns, or cannot be read."""
        place = None if was_added(row.columns) else self._place(row.columns)
        if place is None:
            return None
        try:
            made = self._mapping.convert(row.columns, row.origin)
        except (GraftError, KeyError):
            return None  # said where rows are converted
        text = _at(row.columns, place)
        if len(made) != 1 or not text.strip() or not made[0].has_target:
            return None
        return Source(row, text, place, made[0], source_key(made[0]))

    def _place(self, columns: Mapping[str, Any]) -> Place | None:
        name = self._column(columns)
        value = columns.get(name) if name is not None else None
        if name is None or columns.get("history"):
            return None
        return (name,) if isinstance(value, str) else _only_turn(name, value)

    def _column(self, columns: Mapping[str, Any]) -> str | None:
        mapping, template = self._mapping, self._settings.prompt_template
        if mapping.kind == "instruction":
            inner = [name for name in ("input", "query", "context") if columns.get(name)]
            return inner[0] if inner else "instruction"
        if mapping.kind != "templates" or template is None:
            return mapping.columns[0]
        answer = parse_template(str(self._settings.completion_template)).columns(columns)
        asked = [name for name in parse_template(template).columns(columns) if name not in answer]
        return asked[0] if len(asked) == 1 else None


_WHOLE = ("instruction", "messages", "conversations", "templates")


def _refused(step: str, kind: str, why: str) -> InputError:
    return InputError(f"rows of the kind {kind} get no changed copies: {why}", where=step, remedy="omit the step")


def _only_turn(name: str, messages: Any) -> Place | None:
    """The place of the user's text in messages with one turn of the user and at most one answer."""
    if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
        return None
    roles = [str(message.get("role", message.get("from", ""))) for message in messages]
    asked = [place for place, role in enumerate(roles) if role in _USERS]
    if len(asked) != 1 or sum(role not in (*_USERS, "system", "developer") for role in roles) > 1:
        return None
    key = "content" if "content" in messages[asked[0]] else "value"
    return (name, asked[0], key) if isinstance(messages[asked[0]].get(key), str) else None


def _at(value: Any, place: Place) -> str:
    for key in place:
        value = value[key]
    return str(value)


class Taken:
    """Texts that no added row may have: those of judged rows, in other words' order of signs and case, too."""

    def __init__(self) -> None:
        self._judged: set[int] = set()
        self._there: set[int] = set()

    @classmethod
    def of(cls, sides: Sides, context: StepContext) -> Taken:
        """Return the texts of the judged sides and of ``--against``."""
        taken = cls()
        taken._judged.update(map(_loose, judged_texts(sides, context)))
        return taken

    def add(self, text: str) -> bool:
        """Take a text of a training row; return whether it was free."""
        key = text_hash(" ".join(text.split()))
        known = key in self._there
        self._there.add(key)
        return not known

    def is_judged(self, texts: Iterable[str]) -> bool:
        """Return whether all of these are texts of evaluation rows."""
        keys = [_loose(text) for text in texts if text.strip()]
        return bool(keys) and all(key in self._judged for key in keys)


def judged_texts(sides: Sides, context: StepContext) -> Iterator[str]:
    """Yield all texts in the rows of the judged sides and of ``--against``."""
    for rows in (*(sides.get(side, ()) for side in JUDGED), context.against):
        for row in rows:
            yield from (text for _, text in texts_of(row))


def near_texts(texts: Iterable[str], others: Iterable[str]) -> set[int]:
    """Return the places of the texts that are nearly one of others."""
    one, other = (ExampleSet.of(_plain(each)) for each in (texts, others))
    return set(np.flatnonzero(near_twins(one, other).places >= 0).tolist()) if one and other else set()


def _plain(texts: Iterable[str]) -> Iterator[Example]:
    for number, text in enumerate(texts, 1):
        yield AnswerExample(({"role": "user", "content": text},), "", Origin("", number))


def _loose(text: str) -> int:
    return text_hash(" ".join(words(text)) or text.strip())


def sources_of(rows: Iterable[Row], sources: Sources, taken: Taken) -> Iterator[Source | None]:
    """Yield the source of each row, all of whose texts are taken then."""
    for row in rows:
        source = sources.of(row)
        if source is not None:
            taken.add(source.text)
        yield source


def made_before(rows: Iterable[Row], step: str) -> Iterator[tuple[str, int, Row]]:
    """Yield each row that a step added in an earlier run, with the key of its source and the number of the copy."""
    for row in rows:
        found = provenance_of(row.columns)
        if found is not None and found.step == step:
            yield found.of, found.copy, row


def input_of(row: Row, sources: Sources) -> str:
    """Return the input text of a row that was added; empty where it has none."""
    columns = {name: value for name, value in row.columns.items() if name != PROVENANCE}
    source = sources.of(Row(columns, row.origin))
    return source.text if source is not None else ""


def check_train(rows: Sequence[Row], step: str) -> None:
    """Check that there are rows to make others from.

    Raises:
        InputError: If there are none.
    """
    if not rows:
        raise InputError("there are no rows to make others from", where=step, remedy="name the data")
