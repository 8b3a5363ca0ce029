"""Several right answers to one prompt: the first is trained, and any of them is right in an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from graft.data.cells import decoded
from graft.data.chat_formats import holds_messages
from graft.data.columns.base import ColumnMapping
from graft.data.columns.names import ANSWER, REFERENCES, SEVERAL
from graft.data.example import AnswerExample, Example, Origin, as_text

SEVERAL_ANSWERS = "several_answers"
_WHY = "rows with several right answers: the first is trained, and any of them is right in an evaluation"
_OTHERS = "rows whose references do not hold their answer: only the answer is right in an evaluation"


class RightAnswers(NamedTuple):
    """The answer that is trained, as its column has it, and the texts of the others."""

    first: Any
    others: tuple[str, ...] = ()


def right_answers(value: Any, name: str) -> RightAnswers:
    """Return the answers that a column holds.

    Several are a list of texts; ``{"text": […]}`` as in SQuAD; or ``{"value": …, "aliases": […]}`` as in TriviaQA. All
    else, such as messages and lists of numbers in a column ``answer``, is one answer.

    Args:
        value: The value of the column.
        name: Its name.
    """
    found = decoded(value) if name in SEVERAL else value
    if isinstance(found, dict):
        if isinstance(found.get("text"), list):
            found = found["text"]
        elif isinstance(found.get("value"), str) and isinstance(found.get("aliases"), list):
            found = [found["value"], *found["aliases"]]
    kinds = (str,) if name == ANSWER else (str, int, float)
    if not isinstance(found, list) or holds_messages(found) or not all(isinstance(one, kinds) for one in found):
        return RightAnswers(value)
    texts = list(dict.fromkeys(text for one in found if (text := as_text(one).strip())))
    return RightAnswers(texts[0], tuple(texts[1:])) if texts else RightAnswers(value)


def accepting_several(mapping: ColumnMapping, columns: Sequence[str]) -> ColumnMapping:
    """Return the mapping of rows that may have several right answers.

    They stand in the column of the answer, or beside it in ``references``, if the answer is one of these. Classes and
    lists of labels are something else: each row has one answer then.

    Args:
        mapping: How the rows are read otherwise; the last column is that of the answer.
        columns: The columns that rows have.
    """
    name = mapping.columns[-1]
    beside = REFERENCES in columns and name != REFERENCES
    listed = name in (ANSWER, *SEVERAL)
    if mapping.labels is not None or mapping.names is not None or not (listed or beside):
        return mapping

    def convert(row: Mapping[str, Any], origin: Origin) -> Sequence[Example]:
        found = right_answers(row[name], name) if listed else RightAnswers(row[name])
        made = list(mapping.convert(row if found.first is row[name] else {**row, name: found.first}, origin))
        if not made or not isinstance(made[-1], AnswerExample):
            return made
        others = found.others
        if beside:
            others = _beside(mapping, made[-1], others, row.get(REFERENCES), origin)
        if others:
            mapping.notes.count(SEVERAL_ANSWERS, _WHY, origin)
            made[-1] = replace(made[-1], alternatives=others)
        return made

    optional = (*mapping.optional, REFERENCES) if beside else mapping.optional
    return replace(mapping, convert=convert, optional=optional)


def _beside(
    mapping: ColumnMapping, example: AnswerExample, others: tuple[str, ...], references: Any, origin: Origin
) -> tuple[str, ...]:
    """``others`` and the ``references`` of the row, if its answer is among them: they may be sources, too."""
    found = right_answers(references, REFERENCES)
    texts = (found.first, *found.others) if found.others or isinstance(found.first, str) else ()
    answer = example.reference.strip()
    if answer not in texts:
        mapping.notes.count("references_not_read", _OTHERS, origin, bool(texts))
        return others
    return tuple(dict.fromkeys((*others, *(text for text in texts if text != answer))))
