"""Checks that nothing of a row is lost in its rendered text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from graft.data.example import AnswerExample, Message, split_reasoning
from graft.errors import Problems


class Piece(NamedTuple):
    """A text of a row, and what it is."""

    name: str
    text: str


KEEPS = "give a --chat_template that renders it, or remove it from the rows"
LONGEST_SHOWN = 60


def check_rendered(example: AnswerExample, answer: Message, text: str, completion: str) -> None:
    """Check that every text of the prompt, the tools, and the answer with its reasoning occur in the rendered text.

    Templates may trim a text, or write it as JSON.

    Args:
        example: The row.
        answer: The message that is trained on.
        text: The whole rendered text.
        completion: The part of it that is trained on.

    Raises:
        InputError: Naming the row and what is missing, all of it together.
    """
    problems, where = Problems(), str(example.origin)
    answered = list(_answered(answer))
    lost = [piece for piece in _read_only(example) if not occurs(piece.text, text)]
    lost += [piece for piece in answered if not occurs(piece.text, completion)]
    for piece in lost:
        problems.add(f"the chat template does not render {piece.name}: {_short(piece.text)}", where, KEEPS)
    if not answered and not answer.get("content"):
        problems.add("the answer is empty", where)
    problems.raise_if_any()


def pieces_of(answer: Message) -> list[str]:
    """Return the texts of an answer in the order in which templates write them."""
    return [piece.text.strip() for piece in _answered(answer)]


def occurs(piece: str, text: str) -> bool:
    """Return whether ``piece`` is in ``text``: as it is, as JSON, or with other white space."""
    bare = piece.strip()
    if bare in text:
        return True
    written = (json.dumps(bare, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True))
    return any(form in text for form in written) or " ".join(bare.split()) in " ".join(text.split())


def _read_only(example: AnswerExample) -> Iterator[Piece]:
    if isinstance(example.prompt, str):
        return
    for message in example.prompt:
        content = message.get("content")
        if message["role"] != "assistant" and isinstance(content, str) and content.strip():
            yield Piece(f"the {message['role']} message", content)
    for tool in example.tools or ():
        name = _name(tool)
        if name:
            yield Piece("the tool", name)


def _answered(answer: Message) -> Iterator[Piece]:
    content = answer.get("content")
    reasoning, spoken = split_reasoning(content) if isinstance(content, str) else ("", "")
    for thought in (answer.get("reasoning_content"), reasoning):
        if isinstance(thought, str) and thought.strip():
            yield Piece("the reasoning of the answer", thought)
    if spoken.strip():
        yield Piece("the answer", spoken)
    for call in answer.get("tool_calls") or ():
        name = _name(call) if isinstance(call, Mapping) else ""
        if name:
            yield Piece("the tool call", name)


def _name(tool: Mapping[str, Any]) -> str:
    inner = tool.get("function", tool)
    return str(inner.get("name") or "") if isinstance(inner, Mapping) else ""


def _short(text: str) -> str:
    bare = " ".join(text.split())
    return repr(bare if len(bare) <= LONGEST_SHOWN else bare[: LONGEST_SHOWN - 1] + "…")
