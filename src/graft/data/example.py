"""The one neutral shape between any data and any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = Mapping[str, Any]
"""``{"role": …, "content": …}``, and what a chat template takes besides (``tool_calls``, ``name``)."""


@dataclass(frozen=True)
class Origin:
    """Where a row came from: the file and, counted from 1, its line (or its row, in files without lines)."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Example:
    """A prompt and the answer wanted.

    ``prompt`` is a list of messages, which the model's chat template renders, or a string, which is the very text
    the model reads (from ``--text_template``). ``answer`` is given where the answer is more than text (tool calls):
    the last message as the chat template takes it; ``completion`` then holds its content.

    For heads ``prompt`` is the text itself and ``completion`` what is said of it: a class; a JSON list of several; a
    tag for each of ``words``, with blanks between them; or how alike ``prompt`` and ``second`` are, as a number.
    """

    prompt: tuple[Message, ...] | str
    completion: str
    origin: Origin
    label: str | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    answer: Message | None = None
    words: tuple[str, ...] | None = None
    second: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
