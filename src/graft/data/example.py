"""Examples, independent of data format and model: one class for each kind of target."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from graft.data.turn_markers import without_end
from graft.data.values import plain, refuse_unreadable
from graft.errors import InputError

Message = Mapping[str, Any]
"""``{"role": …, "content": …}``, and what else a chat template takes (``tool_calls``, ``name``)."""


@dataclass(frozen=True)
class Origin:
    """Where a row came from: the file and, counted from 1, its line (or its row, in files without lines).

    ``columns`` are the values of further columns by which the row is evaluated (``--by``), missing ones as None.
    ``added`` is whether a program added the row (``graft.data.provenance``): no model is judged by it. ``source`` then
    is the ``source_key`` of the row that it was made from; empty where it was made from none.
    """

    file: str
    line: int
    added: bool = field(default=False, compare=False)
    source: str = field(default="", compare=False)
    columns: Mapping[str, str | None] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


MOST_PLACES = 5
"""Rows that a sentence names by file and line."""


def shown_places(origins: Sequence[Origin], count: int | None = None) -> str:
    """Return ``rows.jsonl:3, 5, 9 and 12 more``: the first places, and how many there are besides.

    Args:
        origins: The places, or the first of them.
        count: How many there are, if ``origins`` are not all.
    """
    named: dict[str, list[str]] = {}
    for origin in origins[:MOST_PLACES]:
        named.setdefault(origin.file, []).append(str(origin.line))
    listed = ", ".join(f"{file}:{', '.join(lines)}" for file, lines in named.items())
    more = (len(origins) if count is None else count) - min(MOST_PLACES, len(origins))
    return f"{listed} and {more:,} more" if more else listed


class Example(ABC):
    """A row: the input of the model, and its target.

    Attributes:
        origin: Where the row came from.
        alternatives: Further right answers besides the reference, which count in an evaluation and are not trained.
    """

    origin: Origin
    alternatives: tuple[str, ...] = ()

    @property
    @abstractmethod
    def input_text(self) -> str:
        """All that the model reads, as one text."""

    @property
    @abstractmethod
    def reference(self) -> str:
        """The target as text: predictors answer in this form, metrics compare it, predictions.jsonl records it."""

    @property
    def prompt_text(self) -> str:
        """The part of the input that is shown to a person."""
        return self.input_text

    @property
    def written(self) -> str:
        """All that a model would write: the reference, and the reasoning before it."""
        return self.reference

    @property
    def has_target(self) -> bool:
        """Whether there is something to learn from the row."""
        return bool(self.reference.strip())


@dataclass(frozen=True)
class AnswerExample(Example):
    """A prompt and the answer to it.

    Attributes:
        prompt: Messages, which the model's chat template renders, or the very text that the model reads
            (from ``--text_template``). An empty text: the completion is all there is.
        completion: The text of the answer.
        origin: Where the row came from.
        label: The class, where the answer is one.
        tools: What the model may call, as the chat template takes it.
        answer: The assistant's message, where it is more than text (tool calls).
        template_kwargs: What the row gives the chat template besides (its ``chat_template_kwargs``).
        alternatives: Further right answers, which count in an evaluation and are not trained.
    """

    prompt: tuple[Message, ...] | str
    completion: str
    origin: Origin
    label: str | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    answer: Message | None = None
    template_kwargs: Mapping[str, Any] | None = None
    alternatives: tuple[str, ...] = ()

    @property
    def input_text(self) -> str:
        """The prompt, or the contents of its messages with empty lines between them."""
        if isinstance(self.prompt, str):
            return self.prompt
        return "\n\n".join(as_text(message.get("content") or "") for message in self.prompt)

    @property
    def reference(self) -> str:
        """The text of the answer without its reasoning and without an end token; empty where it is tool calls."""
        text = without_end(self.completion) if isinstance(self.prompt, str) else self.completion
        return split_reasoning(text).answer

    @property
    def written(self) -> str:
        """Reasoning, answer, and tool calls as JSON."""
        answer = self.answer or {}
        calls = answer.get("tool_calls")
        parts = (answer.get("reasoning_content"), self.completion, as_text(calls) if calls else None)
        return "\n".join(str(part) for part in parts if part)

    @property
    def prompt_text(self) -> str:
        """The last message, or the prompt as it is."""
        if isinstance(self.prompt, str):
            return self.prompt
        return str(self.prompt[-1].get("content"))

    @property
    def has_target(self) -> bool:
        """Whether there is an answer: text, or a message with tool calls."""
        return self.answer is not None or bool(self.completion.strip())


@dataclass(frozen=True)
class ClassExample(Example):
    """A text and its class."""

    text: str
    label: str
    origin: Origin

    @property
    def input_text(self) -> str:
        """The text alone: a head needs no instruction."""
        return self.text

    @property
    def reference(self) -> str:
        """The name of the class."""
        return self.label


@dataclass(frozen=True)
class MultiLabelExample(Example):
    """A text and any number of labels, sorted and each once."""

    text: str
    labels: tuple[str, ...]
    origin: Origin

    @property
    def input_text(self) -> str:
        """The text alone: a head needs no instruction."""
        return self.text

    @property
    def reference(self) -> str:
        """The labels as a JSON list."""
        return labels_text(self.labels)


@dataclass(frozen=True)
class TaggedExample(Example):
    """Words, and a tag without blanks for each of them."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    origin: Origin

    @property
    def input_text(self) -> str:
        """The words, separated by blanks."""
        return " ".join(self.words)

    @property
    def reference(self) -> str:
        """The tags, separated by blanks."""
        return " ".join(self.tags)


@dataclass(frozen=True)
class PairExample(Example):
    """Two texts, and how similar they are: from 0 (different) to 1 (the same)."""

    first: str
    second: str
    similarity: float
    origin: Origin

    @property
    def input_text(self) -> str:
        """Both texts, one a line; an empty one is omitted."""
        return "\n".join(filter(None, (self.first, self.second)))

    @property
    def prompt_text(self) -> str:
        """The first text."""
        return self.first

    @property
    def reference(self) -> str:
        """The similarity in up to six digits."""
        return f"{self.similarity:g}"


Variant = TypeVar("Variant", bound=Example)


def expect(example: Example, variant: type[Variant]) -> Variant:
    """Return ``example``, which is one of ``variant``.

    Raises:
        InputError: When it is another variant: rows of another task, or a damaged row.
    """
    if not isinstance(example, variant):
        what = f"expected a {variant.__name__}, got a {type(example).__name__}: this is a row of another task"
        raise InputError(what, where=str(example.origin))
    return example


THINK, THOUGHT = "<think>", "</think>"
"""The tags that reasoning models put around what they think before the answer."""


class ReasonedAnswer(NamedTuple):
    """An answer, and the reasoning before it."""

    reasoning: str
    answer: str


def split_reasoning(text: str) -> ReasonedAnswer:
    """Return the reasoning in ``<think>`` tags with which ``text`` begins, and the answer after it."""
    opened = text.lstrip().startswith(THINK) or THINK not in text  # the prompt may hold the opening tag
    if not opened or THOUGHT not in text:
        return ReasonedAnswer("", text)
    before, _, after = text.rpartition(THOUGHT)
    return ReasonedAnswer(before.lstrip().removeprefix(THINK), after.lstrip("\n"))


def without_reasoning(text: str) -> str:
    """Return what follows the reasoning in a generated text, whose opening tag may stand in the prompt already."""
    _, _, after = text.rpartition(THOUGHT)
    return after if after.strip() else text


def labels_text(labels: Sequence[str]) -> str:
    """Return several labels as one text: a JSON list."""
    return json.dumps(list(labels), ensure_ascii=False)


def as_text(value: Any) -> str:
    """Return the value of a column as it stands in a text: strings as they are, lists and objects as JSON.

    A whole number has no decimal point (``1.0`` is ``1``: pandas makes floats of integers where a value is missing).

    Raises:
        InputError: For a value that has no text, such as the bytes of an image.
    """
    if isinstance(value, str):
        return value
    value = plain(value)
    refuse_unreadable(value)
    if isinstance(value, float):
        return _number(value)
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict, bool)) else str(value)


def _number(value: float) -> str:
    """Infinity is written as in JSON of Python; beyond 2^53 floats are no exact integers."""
    if value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))
    return json.dumps(value)
