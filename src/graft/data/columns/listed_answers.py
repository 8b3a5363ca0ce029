"""Several answers to a prompt in one cell, of which some are better: two in an order, or each with its rating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from graft.data.cells import decoded
from graft.data.chat_formats import holds_messages
from graft.data.columns.names import ANSWERS, SEVERAL
from graft.data.readers import Row
from graft.data.values import nothing

_TEXTS = ("answer", "response", "text", "completion", "output", "content")
_LISTS = (*ANSWERS, *SEVERAL, "completions", "responses", "outputs", "generations", "candidates")
_HIGHER = ("overall_score", "score", "rating", "fine-grained_score", "reward")
_LOWER = ("rank", "ranking")


class ListedAnswers(NamedTuple):
    """A column with several answers.

    Attributes:
        column: Its name.
        what: What it holds.
        by: The key by which the answers are rated; None where the first of two is the better one.
    """

    column: str
    what: str
    by: str | None = None

    def best(self, value: Any) -> str | None:
        """Return the best answer of a cell; None where it holds other things."""
        return next(iter(self.in_order(value)), None)

    def in_order(self, value: Any) -> list[str]:
        """Return the answers of a cell, the best first."""
        found = decoded(value)
        if not isinstance(found, list):
            return []
        if self.by is None:
            return [text for text in found if isinstance(text, str)]
        rated = ((_rating(item, self.by), _text(item)) for item in found)
        known = [(number, text) for number, text in rated if number is not None and text is not None]
        return [text for _, text in sorted(known, key=lambda pair: pair[0], reverse=self.by not in _LOWER)]


def listed_answers(columns: Sequence[str], rows: Sequence[Row]) -> ListedAnswers | None:
    """Return the column of rows that has several answers of different worth in a list.

    LLaMA-Factory writes pairs as ``"output": [better, worse]``, Nectar and UltraFeedback a list of objects with an
    answer and its rank or score.
    """
    for name in (name for name in columns if name in _LISTS):
        first = next((value for row in rows if not nothing(value := decoded(row.columns.get(name)))), None)
        if not isinstance(first, list) or not first or holds_messages(first):
            continue
        cells = [decoded(row.columns.get(name)) for row in rows[:1000]]
        if name == "output" and all(_is_pair(cell) for cell in cells):
            return ListedAnswers(name, "two answers, the better one first")
        by = _rated_by(first)
        if by is not None and any(isinstance(cell, list) and len(cell) > 1 for cell in cells):
            return ListedAnswers(name, f"answers, each with its {by}", by)
    return None


def _is_pair(cell: Any) -> bool:
    return isinstance(cell, list) and len(cell) == 2 and all(isinstance(text, str) for text in cell)


def _rated_by(cell: Sequence[Any]) -> str | None:
    item = cell[0]
    if not isinstance(item, Mapping) or _text(item) is None:
        return None
    return next((by for by in (*_HIGHER, *_LOWER) if _rating(item, by) is not None), None)


def _text(item: Any) -> str | None:
    found = (item.get(name) for name in _TEXTS) if isinstance(item, Mapping) else ()
    return next((text for text in found if isinstance(text, str)), None)


def _rating(item: Any, by: str) -> float | None:
    value = item.get(by) if isinstance(item, Mapping) else None
    try:
        return float(value) if value is not None else None
    except (TypeError, ValueError, OverflowError):
        return None
