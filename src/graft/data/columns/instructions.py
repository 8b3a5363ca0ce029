"""Columns with instructions, questions or inputs, and what is answered to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graft.config import DataSettings
from graft.data.columns.base import ANSWERS, LABELS, ColumnMapping, first_of, mapping_by_name
from graft.data.columns.shape import PromptShape
from graft.data.example import AnswerExample, Example, Origin, as_text
from graft.data.readers import Row


def instruction_output(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """``instruction``, perhaps with ``input`` and ``system``, and an answer, as in Alpaca."""
    shape = PromptShape(settings)
    answer = first_of(columns, ("output", "response", "completion", "answer"))
    if "instruction" not in columns or answer is None:
        return None

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        """Make an example whose prompt is instruction, input and context, with empty lines between them."""
        parts = [as_text(row[name]) for name in ("instruction", "input", "context") if row.get(name)]
        system = as_text(row["system"]) if row.get("system") else None
        return [AnswerExample(shape.prompt("\n\n".join(parts), system=system), as_text(row[answer]), origin)]

    return mapping_by_name("instruction", ("instruction", answer), convert)


def question_answer(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """``question``, perhaps with ``context``, and an answer, as in SQuAD."""
    shape = PromptShape(settings)
    answer = first_of(columns, ("answer", "answers"))
    if "question" not in columns or answer is None:
        return None

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        """Make an example whose prompt is context and question; of several answers the first is the target."""
        parts = [as_text(row[name]) for name in ("context", "question") if row.get(name)]
        value = row[answer]
        if isinstance(value, dict) and isinstance(value.get("text"), list):
            value = value["text"]
        if isinstance(value, list):
            value = value[0] if value else ""
        return [AnswerExample(shape.prompt("\n\n".join(parts)), as_text(value), origin)]

    return mapping_by_name("question/answer", ("question", answer), convert)


def input_output(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """``input`` and an answer or a class."""
    shape = PromptShape(settings)
    answer = first_of([name for name in columns if name != "input"], (*ANSWERS, *LABELS))
    if "input" not in columns or answer is None:
        return None
    return mapping_by_name(
        f"input/{answer}",
        ("input", answer),
        lambda row, origin: [AnswerExample(shape.prompt(as_text(row["input"])), as_text(row[answer]), origin)],
    )
