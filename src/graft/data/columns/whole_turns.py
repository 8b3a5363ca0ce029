"""Conversations whose last answer is a good or a bad one: messages, and dialogues as Anthropic writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graft.data.chat_formats import Turn, holds_messages, read_conversation
from graft.data.example import Origin


def is_whole(value: Any) -> bool:
    """Return whether a value is messages, or a dialogue as Anthropic writes it."""
    return holds_messages(value) or (isinstance(value, str) and value.lstrip().startswith("Human:"))


def whole_turns(value: Any, name: str, origin: Origin) -> list[Turn]:
    """Return the turns of messages, or of a dialogue as Anthropic writes it.

    Raises:
        InputError: If they cannot be read.
    """
    if isinstance(value, str) and is_whole(value) and not holds_messages(value):
        return _dialogue(value)
    return read_conversation(value, name, origin).turns


def _dialogue(text: str) -> list[Turn]:
    r"""The turns of ``\n\nHuman: … \n\nAssistant: …``."""
    turns: list[Turn] = []
    for part in ("\n\n" + text.lstrip()).split("\n\nHuman:")[1:]:
        asked, *answers = part.split("\n\nAssistant:")
        turns.append(Turn({"role": "user", "content": asked.strip()}))
        turns += [Turn({"role": "assistant", "content": answer.strip()}) for answer in answers]
    return turns


def shared_turns(one: Sequence[Turn], other: Sequence[Turn]) -> int:
    """Return the number of turns that both begin with."""
    same = [left.message == right.message for left, right in zip(one, other, strict=False)]
    return same.index(False) if False in same else len(same)


def last_answer(turns: Sequence[Turn]) -> int:
    """Return where the answer after the last prompt begins."""
    return max((place + 1 for place, turn in enumerate(turns) if turn.message["role"] == "user"), default=0)
