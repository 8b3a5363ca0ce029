"""Conversations in the formats of OpenAI and ShareGPT; each assistant message is an example."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from graft.data.example import AnswerExample, Example, Message, Origin
from graft.errors import InputError

SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
ROLES = {"system", "developer", "user", "assistant", "tool", "function"}


def from_messages(row: Mapping[str, Any], origin: Origin, system: str | None = None) -> list[Example]:
    """Return the examples of ``messages`` with ``role`` and ``content``, perhaps ``tool_calls`` and ``tools``.

    Raises:
        InputError: When a message has no known role, or none is of the assistant.
    """
    messages = decoded(row.get("messages"))
    if not isinstance(messages, list) or not all(isinstance(m, dict) and m.get("role") in ROLES for m in messages):
        raise InputError(
            f"messages must be a list of objects with a role ({', '.join(sorted(ROLES))}) and content",
            where=str(origin),
        )
    turns: list[Message] = [{k: v for k, v in m.items() if v is not None or k == "content"} for m in messages]
    if system and not (turns and turns[0]["role"] == "system"):
        turns.insert(0, {"role": "system", "content": system})
    tools = decoded(row.get("tools"))
    examples: list[Example] = [
        _example(turns, place, tools or None, origin)
        for place, message in enumerate(turns)
        if message["role"] == "assistant" and place and message.get("weight", 1) != 0
    ]
    if not examples:
        raise InputError("the conversation has no assistant message to train on", where=str(origin))
    return examples


def _example(turns: list[Message], place: int, tools: Any, origin: Origin) -> AnswerExample:
    message = turns[place]
    content = message.get("content")
    text = content if isinstance(content, str) else _texts(content)
    plain = isinstance(content, str) and set(message) <= {"role", "content", "weight"}
    return AnswerExample(tuple(turns[:place]), text, origin, tools=tools, answer=None if plain else message)


def _texts(content: Any) -> str:
    """Return the text of content in parts: ``[{"type": "text", "text": …}]``."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)


def decoded(value: Any) -> Any:
    """Return the list that a JSON string holds, as in Parquet and CSV files; other values as they are."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def from_conversation(row: Mapping[str, Any], name: str, origin: Origin, system: str | None = None) -> list[Example]:
    """Return the examples of a ShareGPT conversation: ``from`` and ``value``, or ``role`` and ``content``.

    Raises:
        InputError: As ``from_messages``, and for an unknown speaker.
    """
    turns = []
    listed = decoded(row.get(name))
    for turn in listed if isinstance(listed, list) else []:
        speaker = turn.get("from", turn.get("role")) if isinstance(turn, dict) else None
        if speaker not in SPEAKERS:
            raise InputError(f"{speaker!r} is not a known speaker; known are: {', '.join(SPEAKERS)}", where=str(origin))
        turns.append({"role": SPEAKERS[str(speaker)], "content": turn.get("value", turn.get("content"))})
    if row.get("system"):
        turns.insert(0, {"role": "system", "content": str(row["system"])})
    return from_messages({"messages": turns, "tools": row.get("tools")}, origin, system)
