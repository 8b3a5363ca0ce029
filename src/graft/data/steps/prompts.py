"""Rows without an answer: how they are asked, and where the answer is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from graft.config import DataSettings
from graft.data.columns import TEXTS, ColumnMapping, first_of, recognize
from graft.data.columns.shape import PromptShape
from graft.data.example import AnswerExample, Example, Origin, as_text, expect
from graft.data.readers import Row
from graft.data.spelling import folded
from graft.data.templates import parse_template
from graft.data.values import listed_names
from graft.errors import GraftError, InputError

ALONE = {"prompt": "completion", "instruction": "output", "question": "answer", "query": "answer", "input": "output"}
"""Where the answer is written to rows with such a column, where no data say it."""
TALKS = ("messages", "conversations", "conversation")
WHERE = "--generate"
_UNWRITTEN = "…"


@dataclass(frozen=True)
class PromptForm:
    """How rows without an answer are asked, and where the answer is written.

    Attributes:
        mapping: How a row is read once it has an answer.
        column: The column of the answer, or of the messages that it comes behind.
        labels: The classes and what the column has for them; none where answers are free.
        is_text: Whether the rows are texts alone, which are written as prompt and completion.
    """

    mapping: ColumnMapping
    column: str
    labels: Mapping[str, Any] = field(default_factory=dict)
    is_text: bool = False

    def asked(self, row: Row) -> AnswerExample:
        """Return the prompt of a row.

        Raises:
            InputError: If the row lacks a column, or its prompt is none that a chat model is asked.
        """
        columns = self._with(row.columns, next(iter(self.labels.values()), _UNWRITTEN))
        missing = [name for name in self.mapping.columns if columns.get(name) is None]
        if missing:
            what = f"the row lacks {listed_names(missing)}"
            raise InputError(what, where=str(row.origin), remedy="fill it in, or remove the row")
        made = self.mapping.convert(columns, row.origin)
        example = expect(made[-1], AnswerExample) if made else None
        if example is None or isinstance(example.prompt, str):
            raise InputError("the row has no prompt that a model can be asked", where=str(row.origin))
        return example

    def answered(self, row: Row, answer: str, asked: AnswerExample) -> dict[str, Any]:
        """Return the columns of a row with its answer."""
        if self.is_text:
            return {"prompt": asked.prompt_text, "completion": answer}
        return self._with(row.columns, self.labels.get(answer, answer))

    def texts(self, row: Row) -> Iterator[str]:
        """Yield what the row asks, without what all rows have in common."""
        names = (*self.mapping.columns, *(name for name in ("input", "context") if name in self.mapping.optional))
        for name in names:
            value = row.columns.get(name)
            if name == self.column and isinstance(value, list):
                yield from (str(each.get("content", each.get("value", ""))) for each in _unanswered(value))
            elif name != self.column and value is not None:
                yield as_text(value)

    def label(self, answer: str) -> str | None:
        """Return the class that an answer names, in whatever case and between whatever signs; None for none."""
        bare = _bare(answer)
        return next((label for label in self.labels if _bare(label) == bare), None)

    def _with(self, columns: Mapping[str, Any], answer: Any) -> dict[str, Any]:
        if self.column not in TALKS:
            return {**columns, self.column: answer}
        turns = _unanswered(columns.get(self.column))
        sharegpt = any("from" in turn for turn in turns)
        last = {"from": "gpt", "value": answer} if sharegpt else {"role": "assistant", "content": answer}
        return {**columns, self.column: [*turns, last]}


def _bare(text: str) -> str:
    return folded(text).strip(" \t\r\n.,:;!\"'`*“”")


def _unanswered(turns: Any) -> list[Mapping[str, Any]]:
    """The turns before the last answer, where a conversation ends with one."""
    found = [turn for turn in turns if isinstance(turn, Mapping)] if isinstance(turns, list) else []
    while found and str(found[-1].get("role", found[-1].get("from"))) in ("assistant", "gpt", "model"):
        found.pop()
    return found


class _Filled(Sequence[Row]):
    """Rows as if they had an answer, so that their columns are recognized."""

    def __init__(self, rows: Sequence[Row], column: str, answer: str) -> None:
        self._rows, self._column, self._answer = rows, column, answer

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return _Filled(self._rows[index], self._column, self._answer)
        return self._fill(self._rows[index])

    def __iter__(self) -> Iterator[Row]:
        return map(self._fill, self._rows)

    def _fill(self, row: Row) -> Row:
        return Row({**row.columns, self._column: self._answer}, row.origin)


def form_of(
    prompts: Sequence[Row], train: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None
) -> PromptForm:
    """Return how rows without an answer are asked: as those of the training data, or as their own columns say.

    Args:
        prompts: The rows without an answer.
        train: The rows that theirs are added to; may be none.
        settings: Templates, instruction and system prompt.
        labels: The classes, where answers are such.

    Raises:
        InputError: If the columns are not recognized, or do not fit those of the training data.
    """
    if settings.text_template is not None or settings.response_template is not None:
        what = "a server is asked by messages, which its own chat template renders"
        raise InputError(what, where="--text_template", remedy="--prompt_template with --completion_template")
    counts = Counter(name for row in prompts for name in row.columns)
    names = [name for name, count in counts.items() if 2 * count >= len(prompts)]
    labels = sorted(labels or ())  # as finetune lists them in its instruction
    return _as_data(names, train, settings, labels) if train else _alone(names, prompts, settings, labels)


def _as_data(
    names: Sequence[str], train: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None
) -> PromptForm:
    mapping = recognize(train, settings, None, list(labels) if labels else None)
    kind, column = mapping.kind, _answer_column(mapping, settings)
    if column is None or kind in ("text", "text/label list") or kind.startswith("tokens/"):
        raise InputError(f"rows of the kind {kind} have no single answer that a model could write", where=WHERE)
    missing = [name for name in mapping.columns if name not in names and (name != column or name in TALKS)]
    if missing:
        what = (
            f"the prompts lack {listed_names(missing)}, which the data have ({kind}); theirs are {listed_names(names)}"
        )
        raise InputError(what, where=WHERE, remedy="rename the columns of the prompts")
    return PromptForm(mapping, column, _written(mapping, column, train, labels) if mapping.labels or labels else {})


def _answer_column(mapping: ColumnMapping, settings: DataSettings) -> str | None:
    if settings.completion_template is not None:
        names = parse_template(settings.completion_template).columns(mapping.columns)
        return names[0] if len(names) == 1 and settings.completion_template == f"{{{names[0]}}}" else None
    if len(mapping.columns) == 1:
        return mapping.columns[0] if mapping.columns[0] in TALKS else None
    return mapping.columns[1] if len(mapping.columns) == 2 else None


def _written(mapping: ColumnMapping, column: str, train: Sequence[Row], labels: Sequence[str] | None) -> dict[str, Any]:
    """What the data have for each class: its name, or its number."""
    found: dict[str, Any] = {}
    for row in train:
        try:
            (made,) = mapping.convert(row.columns, row.origin)
        except (GraftError, KeyError, ValueError):
            continue  # said where rows are converted
        found.setdefault(made.reference, row.columns[column])
    wanted = labels or mapping.labels or list(found)
    return {label: found.get(label, label) for label in wanted}


def _alone(
    names: Sequence[str], prompts: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None
) -> PromptForm:
    column, text = _column(names, settings, labels), first_of(names, TEXTS)
    classes = {label: label for label in labels or ()}
    if column is None and text is not None:
        return _texts(text, settings)
    if column is None:
        what = f"these columns are not recognized as prompts: {listed_names(names)}"
        raise InputError(what, where=WHERE, remedy="name them prompt, messages or text, or give both templates")
    if column in TALKS:
        form = PromptForm(ColumnMapping("messages", (), lambda row, origin: []), column)
        talks = [Row(form._with(row.columns, _UNWRITTEN), row.origin) for row in prompts[:1]]
        return PromptForm(recognize(talks, settings), column, classes)
    filled = _Filled(prompts, column, next(iter(classes), _UNWRITTEN))
    return PromptForm(recognize(filled, settings, None, list(classes) or None), column, classes)


def _column(names: Sequence[str], settings: DataSettings, labels: Sequence[str] | None) -> str | None:
    """Where the answer is written; None for texts alone."""
    if settings.completion_template is not None:
        return settings.completion_template.strip("{}")
    if settings.prompt_template is not None:
        return "completion"
    talks = first_of(names, TALKS)
    if talks is not None:
        return talks
    if labels and first_of(names, TEXTS) is not None:
        return "label"
    asked = first_of(names, list(ALONE))
    return ALONE[asked] if asked is not None else None


def _texts(text: str, settings: DataSettings) -> PromptForm:
    """Texts alone, behind an instruction.

    Raises:
        InputError: If there is none: then nothing is asked.
    """
    if not settings.instruction and not settings.system_prompt:
        remedy = (
            "--instruction TEXT, --prompt_template with --completion_template, or --generate_labels A,B for classes"
        )
        raise InputError("texts alone do not say what is asked of them", where=WHERE, remedy=remedy)
    shape = PromptShape(settings)

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        return [AnswerExample(shape.prompt(as_text(row[text])), _UNWRITTEN, origin)]

    return PromptForm(ColumnMapping("text", (text,), convert), "completion", {}, is_text=True)
