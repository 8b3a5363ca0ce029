"""Conversations as OpenAI, ShareGPT and others write them, read as turns of one form.

A message is ``{"role", "content"}`` with a text, perhaps with ``reasoning_content``, ``tool_calls``, ``name`` and
``tool_call_id``: what chat templates take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from graft.data.cells import decoded
from graft.data.chat_tools import from_json, read_calls
from graft.data.content import REASONING, read_content
from graft.data.example import Message, Origin
from graft.data.speakers import CALL, role_of
from graft.data.values import nothing
from graft.errors import InputError

WEIGHTS = ("weight", "loss", "train", "trainable", "training")
"""Whether a turn is trained: OpenAI's and ShareGPT's ``weight``, and what LLaMA-Factory, Axolotl and others have."""

ROW = "the row"
LISTS = ("messages", "conversations", "conversation", "turns")
_READ = {"role", "from", "content", "value", "parts", "tool_calls", "function_call", "name", "tool_call_id"}
_LOST = ("refusal", "audio", "image", "images", "video", "videos", "train_detail", "training_detail", "tools")
_OFF, _ON = {"0", "0.0", "false"}, {"1", "1.0", "true"}


@dataclass(frozen=True)
class Turn:
    """A message.

    Attributes:
        message: The message in the one form.
        trained: Whether the row says that it is trained; None where it says nothing.
        unread: The names of what else it has.
        continues: Whether it is a tool call that belongs to the answer before it, where there is one.
    """

    message: Message
    trained: bool | None = None
    unread: tuple[str, ...] = ()
    continues: bool = False


class Conversation(NamedTuple):
    """The turns of a conversation, and the columns that stand within it, such as ``tools``."""

    turns: list[Turn]
    columns: Mapping[str, Any]


def holds_messages(value: Any) -> bool:
    """Return whether a value is messages: a message, a list of them, an object with such a list, or the text of it."""
    found, _ = _listed(value)
    return bool(found) and all(isinstance(turn, dict) and bool({"role", "from"} & set(turn)) for turn in found)


def read_conversation(value: Any, name: str, origin: Origin) -> Conversation:
    """Return the conversation that a column holds.

    Args:
        value: A list of messages with ``role`` and ``content``, or with ``from`` and ``value``; its JSON text; an
            object with such a list; or an object of lists, as Arrow keeps them.
        name: The column.
        origin: The row.

    Raises:
        InputError: Naming the message that can't be read, and why.
    """
    found, columns = _listed(value)
    if not found:
        shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "…"
        raise InputError(
            f"{name} must be a list of messages, not {shown}",
            where=str(origin),
            remedy='[{"role": "user", "content": …}, {"role": "assistant", "content": …}], or from and value',
        )
    turns = [_turn(turn, origin, f"message {number}") for number, turn in enumerate(found, 1)]
    return Conversation(list(_calls_joined(turns)), columns)


def _listed(value: Any) -> tuple[list[Any], Mapping[str, Any]]:
    """The messages of a column, empty where it holds none, and what stands beside them within it."""
    found, beside = decoded(value), {}
    if isinstance(found, dict):
        inside = next((name for name in LISTS if name in found), None)
        if inside is not None:
            beside = {name: item for name, item in found.items() if name != inside}
            found = decoded(found[inside])
    if isinstance(found, dict):
        found = _rows_of(found)
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], list):
        found = found[0]
    return ([from_json(turn) for turn in found] if isinstance(found, list) else []), beside


def _rows_of(found: Mapping[str, Any]) -> list[Any]:
    """A message, or an object of lists, ``{"role": […], "content": […]}``, as a list of messages."""
    lists = [item for item in found.values() if isinstance(item, list)]
    if lists and len(lists) == len(found) and len({len(item) for item in lists}) == 1 and {"role", "from"} & set(found):
        return [dict(zip(found, items, strict=True)) for items in zip(*lists, strict=True)]
    return [found]


def _turn(turn: Any, origin: Origin, what: str) -> Turn:
    if not isinstance(turn, dict):
        raise InputError(f"{what} is not an object with role and content: {str(turn)[:60]!r}", where=str(origin))
    given = {name: value for name, value in turn.items() if not nothing(value)}
    roles = {role_of(given[name], origin, what) for name in ("role", "from") if name in given}
    role = roles.pop() if len(roles) == 1 else role_of(one_of(given, ("role", "from"), origin, what), origin, what)
    content = one_of(given, ("content", "value", "parts"), origin, what)
    if content is None:  # where an empty text is not nothing
        content = turn.get("content", turn.get("value"))
    is_call = role == CALL
    if is_call:
        content, calls = _called(content)
        role, given = "assistant", given if calls is None else {**given, "function_call": calls}
    _refuse_lost(given, origin, what)
    message = _message(role, given, content, origin, what)
    known = {*_READ, *WEIGHTS, *(REASONING if role == "assistant" else ())}
    unread = tuple(name for name in given if name not in known)
    return Turn(message, read_weight(turn, origin, what), unread, is_call)


def _called(content: Any) -> tuple[str, Any]:
    """The thoughts of a ``function_call`` turn, which stay its content, and the calls after them."""
    if isinstance(content, str) and content.lstrip().startswith("<think>") and "</think>" in content:
        thoughts, mark, calls = content.rpartition("</think>")
        return thoughts + mark, calls
    return "", content


def _refuse_lost(given: Mapping[str, Any], origin: Origin, what: str) -> None:
    lost = [name for name in _LOST if name in given]
    if lost:
        raise InputError(
            f"{what} has {', '.join(lost)}, which would be lost: chat templates take text and tool calls",
            where=str(origin),
            remedy="write it in content, or remove it",
        )


def one_of(given: Mapping[str, Any], names: Sequence[str], origin: Origin, what: str = ROW) -> Any:
    """Return the value that stands under one of ``names``; None where there is none.

    Raises:
        InputError: If two of them have different values.
    """
    found = {name: given[name] for name in names if name in given and not nothing(given[name])}
    first = next(iter(found.values()), None)
    if any(value != first for value in found.values()):
        raise InputError(f"{what} has {' and '.join(found)}, which differ", where=str(origin), remedy="remove one")
    return first


def _message(role: str, given: Mapping[str, Any], content: Any, origin: Origin, what: str) -> Message:
    calls = one_of(given, ("tool_calls", "function_call"), origin, what)
    if calls is not None and role != "assistant":
        raise InputError(f"{what} calls a tool, and its role is {role}", where=str(origin))
    if content is None and role != "tool" and calls is None:
        raise InputError(f"{what} ({role}) has no content", where=str(origin), remedy="fill it in, or remove the row")
    read = read_content(content, role, origin, what)
    message: dict[str, Any] = {"role": role, "content": read.text}
    own = one_of(given, REASONING, origin, what) if role == "assistant" else None
    thoughts = [text for text in (read.reasoning, read_content(own, role, origin, what).text) if text.strip()]
    if thoughts:
        message["reasoning_content"] = "\n\n".join(thoughts)
    if calls is not None:
        message["tool_calls"] = read_calls(calls, origin, what)
    return message | {name: given[name] for name in ("name", "tool_call_id") if name in given}


def read_weight(given: Mapping[str, Any], origin: Origin, what: str = ROW) -> bool | None:
    """Return whether ``weight``, ``loss``, ``train``, ``trainable`` or ``training`` switches something on or off.

    Returns:
        None where nothing is said.

    Raises:
        InputError: For another value than 0, 1, true and false, and where two of them differ.
    """
    if given.keys().isdisjoint(WEIGHTS):
        return None
    found: dict[str, bool] = {}
    for name in WEIGHTS:
        value = given.get(name)
        text = str(value).strip().casefold()
        if value is None or text == "":
            continue
        if isinstance(value, (list, dict)) or text not in _OFF | _ON:
            raise InputError(
                f"{what} has {name} {value!r}, which must be 0 or 1",
                where=str(origin),
                remedy="0 leaves an answer out of the loss, 1 trains it"
                + (f"; --ignore_columns {name} if it means something else" if what == ROW else ""),
            )
        found[name] = text in _ON
    if len(set(found.values())) > 1:
        raise InputError(f"{what} has {' and '.join(found)}, which differ", where=str(origin), remedy="remove one")
    return next(iter(found.values()), None)


def _calls_joined(turns: Sequence[Turn]) -> Iterator[Turn]:
    """The turns, with ``function_call`` turns in the answer before them: they are one turn of the model."""
    before: Turn | None = None
    for turn in turns:
        if before is not None and _joins(before, turn):
            calls = [*before.message.get("tool_calls", ()), *turn.message["tool_calls"]]
            before = replace(before, message={**before.message, "tool_calls": calls})
            continue
        if before is not None:
            yield before
        before = turn
    if before is not None:
        yield before


def _joins(before: Turn, turn: Turn) -> bool:
    bare = turn.continues and set(turn.message) == {"role", "content", "tool_calls"} and not turn.message["content"]
    return bare and before.message["role"] == "assistant" and before.trained == turn.trained
