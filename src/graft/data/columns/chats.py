"""Columns with conversations, and prompts with their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graft.config import DataSettings
from graft.data.chat_formats import holds_messages, read_conversation
from graft.data.columns.answered import HISTORY_SAID, Answered, refuse_instruction, within_row
from graft.data.columns.base import ColumnMapping, first_of, mapping_by_name
from graft.data.columns.conversations import Beside, Conversations
from graft.data.columns.names import ANSWERS, BESIDE, BESIDE_ANSWER, SEVERAL
from graft.data.columns.notes import Notes
from graft.data.example import Example, Origin
from graft.data.readers import Row

OTHER_NAMES = ("turns", "chat", "dialog", "dialogue", "contents")
"""Columns that are conversations where they hold messages."""


def messages(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """``messages`` as OpenAI writes them, perhaps with ``tools`` and ``system``."""
    return _of_turns("messages", "messages", settings) if "messages" in columns else None


def conversations(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """``conversations`` as ShareGPT writes them, perhaps with ``tools`` and ``system``."""
    name = first_of(columns, ("conversations", "conversation"))
    if name is None:
        others = (name for name in OTHER_NAMES if name in columns)
        name = next((name for name in others if holds_messages(rows[0].columns.get(name))), None)
    return _of_turns("conversations", name, settings) if name is not None else None


def _of_turns(kind: str, name: str, settings: DataSettings) -> ColumnMapping:
    notes = Notes()
    made = Conversations(settings, notes)

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        """Make an example of each answer."""
        refuse_instruction(settings, origin)
        turns, within = read_conversation(row[name], name, origin)
        return made.examples(turns, Beside.of(within_row(row, within, notes, origin), origin), origin)

    return mapping_by_name(kind, (name,), convert, optional=BESIDE, notes=notes)


def prompt_answer(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """``prompt`` and an answer, each a text or messages, perhaps with ``system``, ``history`` and ``tools``."""
    answer = first_of([name for name in columns if name != "prompt"], (*ANSWERS, *SEVERAL))
    if "prompt" not in columns or answer is None:
        return None
    notes = Notes()
    made = Answered(settings, notes)

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        """Make an example of each answer among the answer's messages; those of the prompt are context."""
        return made.examples(row, row["prompt"], row[answer], origin)

    said = [HISTORY_SAID] if "history" in columns else []
    return mapping_by_name(f"prompt/{answer}", ("prompt", answer), convert, *said, optional=BESIDE_ANSWER, notes=notes)
