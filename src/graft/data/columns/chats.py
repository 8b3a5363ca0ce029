"""Columns with conversations, and prompts with their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graft.config import DataSettings
from graft.data.chat_formats import from_conversation, from_messages
from graft.data.columns.base import ANSWERS, ColumnMapping, first_of, mapping_by_name
from graft.data.columns.shape import PromptShape
from graft.data.example import AnswerExample, Example, Origin, as_text
from graft.data.readers import Row


def messages(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """``messages`` as OpenAI writes them, perhaps with ``tools``."""
    if "messages" not in columns:
        return None
    used = ("messages", "tools") if "tools" in columns else ("messages",)
    return mapping_by_name("messages", used, lambda row, origin: from_messages(row, origin, settings.system_prompt))


def conversations(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """``conversations`` as ShareGPT writes them."""
    name = first_of(columns, ("conversations", "conversation"))
    if name is None:
        return None
    return mapping_by_name(
        "conversations", (name,), lambda row, origin: from_conversation(row, name, origin, settings.system_prompt)
    )


def prompt_answer(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """``prompt`` and an answer: texts or messages."""
    shape = PromptShape(settings)
    answer = first_of([name for name in columns if name != "prompt"], ANSWERS)
    if "prompt" not in columns or answer is None:
        return None

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        """Make an example of the last answer; of messages, those before it are its prompt."""
        prompt, completion = row["prompt"], row[answer]
        if _is_messages(completion) and isinstance(prompt, str):  # preferences: `chosen` may hold the prompt, too
            turns = completion if len(completion) > 1 else [*shape.prompt(prompt), *completion]
            return from_messages({"messages": turns}, origin, settings.system_prompt)[-1:]
        if isinstance(prompt, list):
            turns = [*prompt, *(completion if isinstance(completion, list) else [])]
            if not isinstance(completion, list):
                turns.append({"role": "assistant", "content": as_text(completion)})
            return from_messages({"messages": turns}, origin, settings.system_prompt)[-1:]
        return [AnswerExample(shape.prompt(as_text(prompt)), as_text(completion), origin)]

    return mapping_by_name(f"prompt/{answer}", ("prompt", answer), convert)


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) and "role" in turn for turn in value)
