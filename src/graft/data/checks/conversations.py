"""Conversations whose turns do not follow each other as a chat template expects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from graft.data.cells import decoded
from graft.data.chat_formats import LISTS, holds_messages
from graft.data.checks.base import Finding
from graft.data.checks.spotted import Spotted, counted_rows
from graft.data.checks.view import CheckedData, Side
from graft.data.columns import ColumnMapping
from graft.data.columns.names import is_rejected
from graft.data.readers import Row
from graft.data.speakers import CALL, known_role
from graft.data.values import nothing

_WHOLE = frozenset(("messages", "conversations"))
"""Column mappings by which a column has the whole conversation, to its last answer."""


_SYSTEM = frozenset(("system", "developer"))


class _Turn(NamedTuple):
    role: str
    empty: bool


class Conversations:
    """Roles out of order, and turns without content."""

    name = "conversations"
    title = "Conversation turns"

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for each of both, and each side. Unknown roles are unreadable."""
        for side in data.own_sides:
            order, empty, reasons = _spotted(side, data)
            if len(order):
                yield Finding(
                    "roles_out_of_order",
                    "warning",
                    f"{counted_rows(len(order), 'has', 'have')} roles out of order",
                    order.rows,
                    why="most chat templates refuse such rows or drop turns: "
                    + ", ".join(f"{count:,} × {reason}" for reason, count in reasons.most_common()),
                    remedy="put the turns in order, user and assistant by turns, or remove these rows",
                    evidence=tuple(order.evidence),
                    figures=dict(reasons),
                    side=side.name,
                )
            if len(empty):
                yield Finding(
                    "empty_turns",
                    "warning",
                    f"{counted_rows(len(empty), 'has', 'have')} an empty turn",
                    empty.rows,
                    why="the model learns to answer what nobody asked, or to answer nothing",
                    remedy="fill the turns in, or remove these rows",
                    evidence=tuple(empty.evidence),
                    side=side.name,
                )


def _spotted(side: Side, data: CheckedData) -> tuple[Spotted, Spotted, Counter[str]]:
    order, empty, reasons = Spotted(), Spotted(), Counter[str]()
    whole = data.mapping is not None and data.mapping.kind in _WHOLE
    for row in side.rows:
        talks = _conversations(row, data.mapping)
        found = list(dict.fromkeys(reason for turns in talks for reason in _disorder(turns, whole)))
        reasons.update(found)
        if found:
            order.add(row.origin, ", ".join(found))
        turns = [turn for talk in talks for turn in talk]
        bare = [number for number, turn in enumerate(turns, 1) if turn.empty]
        if bare:
            empty.add(row.origin, f"turn {bare[0]} of {len(turns)} ({turns[bare[0] - 1].role}) is empty")
    return order, empty, reasons


def _conversations(row: Row, mapping: ColumnMapping | None) -> list[list[_Turn]]:
    """The conversations of a row: of an answer's turns, those of the prompt before them, unless it repeats these.

    Where the columns are not recognized each is a conversation. Rejected answers are none that is learned.
    """
    found: list[list[_Turn]] = []
    for name in row.columns if mapping is None else mapping.columns:
        value = row.columns.get(name)
        if is_rejected(name) or isinstance(value, str) or not holds_messages(value):
            continue
        turns = _turns(value)
        if mapping is not None and found and turns[:1] and turns[0].role in {"assistant", CALL, "tool"}:
            found[-1] += turns
        else:
            found.append(turns)
    return found


def _turns(value: Any) -> list[_Turn]:
    """The turns in a value; those of unknown roles are left out."""
    listed = decoded(value)
    inside = next((listed[name] for name in LISTS if isinstance(listed, dict) and name in listed), listed)
    return [turn for each in (inside if isinstance(inside, list) else [inside]) for turn in _turn(each)]


def _turn(message: Any) -> Iterator[_Turn]:
    if not isinstance(message, Mapping):
        return
    role = known_role(message.get("role") or message.get("from"))
    if role is not None:
        content = next((message[name] for name in ("content", "value", "parts") if message.get(name) is not None), None)
        has_more = any(not nothing(message.get(name)) for name in ("tool_calls", "function_call", "reasoning_content"))
        blank = nothing(content) or (isinstance(content, str) and not content.strip())
        yield _Turn(role, blank and not has_more and role in {"user", "assistant"})


def _disorder(turns: list[_Turn], whole: bool) -> list[str]:
    """What is wrong with the order of turns, each once."""
    roles = ["assistant" if turn.role == CALL else turn.role for turn in turns]
    spoken = [role for role in roles if role not in _SYSTEM]
    found = []
    if spoken[:1] == ["assistant"]:
        found.append("begins with the assistant")
    if any(one not in _SYSTEM and other in _SYSTEM for one, other in pairwise(roles)):
        found.append("a system message behind a turn")
    if any(one == other == "user" for one, other in pairwise(spoken)):
        found.append("two turns of the user in a row")
    if any(one.role == other.role == "assistant" for one, other in pairwise(turns)):
        found.append("two turns of the assistant in a row")
    if whole and spoken[-1:] == ["user"]:
        found.append("ends with the user")
    return found
