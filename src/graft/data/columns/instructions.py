"""Columns with instructions, questions or inputs, and what is answered to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graft.config import DataSettings
from graft.data.chat_formats import holds_messages
from graft.data.columns.answered import HISTORY_SAID, Answered
from graft.data.columns.base import ColumnMapping, first_of, mapping_by_name
from graft.data.columns.names import ANSWERS, BESIDE_ANSWER, LABELS, SEVERAL
from graft.data.columns.notes import Notes
from graft.data.example import Example, Origin, as_text
from graft.data.readers import Row
from graft.errors import InputError

Value = Callable[[Mapping[str, Any]], Any]


def instruction_output(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """``instruction`` and an answer, perhaps with ``input``, ``system``, ``history`` and ``tools``, as in Alpaca."""
    answer = first_of(columns, ("output", *ANSWERS, *SEVERAL))
    if "instruction" not in columns or answer is None:
        return None
    parts = ("instruction", "input", "query", "context")
    return _answered("instruction", ("instruction", answer), parts, settings, columns, lambda row: row[answer])


def question_answer(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """``question`` (or ``query``) and an answer, perhaps with ``context`` and ``system``, as in SQuAD."""
    question = first_of(columns, ("question", "query"))
    answer = first_of(columns, ("answer", "answers", *ANSWERS, *SEVERAL))
    if question is None or answer is None:
        return None
    parts = ("context", question)
    return _answered("question/answer", (question, answer), parts, settings, columns, lambda row: _first(row[answer]))


def _first(value: Any) -> Any:
    """The answer, or the first of several."""
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        value = value["text"]
    if isinstance(value, list) and not holds_messages(value):
        value = value[0] if value else ""
    return value


def input_output(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """``input`` and an answer or a class, perhaps with ``system`` and ``history``."""
    answer = first_of([name for name in columns if name != "input"], (*ANSWERS, *SEVERAL, *LABELS))
    if "input" not in columns or answer is None:
        return None
    return _answered(f"input/{answer}", ("input", answer), ("input",), settings, columns, lambda row: row[answer])


def _answered(
    kind: str,
    used: tuple[str, str],
    parts: tuple[str, ...],
    settings: DataSettings,
    columns: Sequence[str],
    answer: Value,
) -> ColumnMapping:
    """The mapping of a prompt that is the texts of some columns, with empty lines between them."""
    notes = Notes()
    made = Answered(settings, notes)

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        """Make an example of each answer; a prompt of one part may be messages."""
        given = [row[name] for name in parts if row.get(name)]
        if len(given) > 1 and any(map(holds_messages, given)):
            names = ", ".join(name for name in parts if row.get(name))
            raise InputError(
                f"the prompt is made of {names}, and one of them is messages, which texts can't be joined with",
                where=str(origin),
                remedy="write all of the prompt as messages, or all of it as texts",
            )
        whole = given[0] if len(given) == 1 else "\n\n".join(map(as_text, given))
        return made.examples(row, whole, answer(row), origin)

    said = [HISTORY_SAID] if "history" in columns else []
    optional = tuple(dict.fromkeys((*parts, *BESIDE_ANSWER)))
    return mapping_by_name(kind, used, convert, *said, optional=optional, notes=notes)
