"""Column mappings: which column is the prompt, and which is the answer.

``recognize`` tries the rules of a registry; each is a function that returns a ``ColumnMapping``, or None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from typing import TypeAlias

from graft.config import DataSettings
from graft.data.chat_formats import holds_messages
from graft.data.columns.alternatives import accepting_several
from graft.data.columns.base import LABELS, TEXTS, ColumnMapping, first_of
from graft.data.columns.by_template import by_text_template, by_two_templates, shape_prompt
from graft.data.columns.names import PROMPTS, is_doubtful
from graft.data.columns.own_rows import own_rows
from graft.data.columns.preferences import refuse_preferences
from graft.data.columns.rendered import rendered_text
from graft.data.readers import Row
from graft.data.templates import parse_template
from graft.data.values import listed_names, nothing
from graft.documents import LONGEST_VALUE
from graft.errors import InputError, Problems, shorten
from graft.registry import Registry

__all__ = ["COLUMN_MAPPINGS", "LABELS", "TEXTS", "ColumnMapping", "first_of", "recognize", "shape_prompt"]

Rule: TypeAlias = Callable[[Sequence[str], Sequence[Row], DataSettings, "Sequence[str] | None"], "ColumnMapping | None"]
"""(columns, rows, settings, labels) -> how rows with these columns are read, or None where they are others.

``columns`` are those that half of the rows have at least; ``labels`` the classes, where they are known already.
"""

Find: TypeAlias = Callable[[Sequence[str]], "ColumnMapping | None"]
_HERE = "graft.data.columns"
COLUMN_MAPPINGS: Registry[Rule] = Registry(
    "column_mapping",
    None,
    {
        "messages": f"{_HERE}.chats:messages",
        "conversations": f"{_HERE}.chats:conversations",
        "prompt_answer": f"{_HERE}.chats:prompt_answer",
        "instruction_output": f"{_HERE}.instructions:instruction_output",
        "question_answer": f"{_HERE}.instructions:question_answer",
        "text_label": f"{_HERE}.texts:text_label",
        "text_summary": f"{_HERE}.texts:text_summary",
        "input_output": f"{_HERE}.instructions:input_output",
        "tokens_tags": f"{_HERE}.texts:tokens_tags",
        "text": f"{_HERE}.texts:plain_text",
        "chosen": f"{_HERE}.preferences:chosen",
    },
)
"""The first rule that fits is taken, an installed one before those that are built in."""


def recognize(
    rows: Sequence[Row], settings: DataSettings, generation_prompt: str | None = None, labels: list[str] | None = None
) -> ColumnMapping:
    """Return how ``rows`` are read: by the templates that are given, else by the names of the columns.

    Args:
        rows: The rows.
        settings: The templates, and what is put before prompts.
        generation_prompt: What the model's chat template puts before an answer.
        labels: The classes, where they are known already.

    Raises:
        InputError: When a template names a column that is not there, or the columns are not recognized.
    """
    counts = Counter(name for row in rows for name in row.columns)
    own = own_rows(counts) if not _fill(settings, counts) else None
    if own is not None:
        return own
    if settings.response_template is not None or settings.instruction_template is not None:
        return rendered_text(list(counts), rows, settings)
    if settings.text_template is not None:
        mapping = by_text_template(settings.text_template, list(counts), generation_prompt)
    elif settings.prompt_template is not None or settings.completion_template is not None:
        mapping = by_two_templates(settings, list(counts))
    else:
        return _by_names(counts, rows, settings, labels)
    refuse_preferences(mapping, list(counts), rows, settings)
    return mapping


def _fill(settings: DataSettings, columns: Container[str]) -> bool:
    """Whether a column mapping is named, or the templates are for these columns."""
    templates = (settings.text_template, settings.prompt_template, settings.completion_template)
    names = [name for text in templates if text is not None for name in parse_template(text).names]
    return settings.column_mapping is not None or bool(names and all(name in columns for name in names))


def _by_names(
    counts: Counter[str], rows: Sequence[Row], settings: DataSettings, labels: list[str] | None
) -> ColumnMapping:
    """The mapping by the first rule that fits the columns.

    Raises:
        InputError: When none does, and for preferences.
    """
    rules = list(_rules(settings))

    def found(columns: Sequence[str]) -> ColumnMapping | None:
        """The mapping by the first rule that fits ``columns``; None where none does."""
        return next((mapping for rule in rules if (mapping := rule(columns, rows, settings, labels))), None)

    columns = [name for name, count in counts.items() if 2 * count >= len(rows)]
    filled = {name for row in rows for name, value in row.columns.items() if not nothing(value)}
    mapping = found([name for name in columns if name in filled]) or found(columns)
    refuse_preferences(mapping, list(counts), rows, settings)
    if mapping is None:
        raise _unknown(columns or list(rows[0].columns), rows[0])
    _refuse_other_kinds(mapping, columns, rows, found)
    return accepting_several(mapping, list(counts))


def _rules(settings: DataSettings) -> Iterator[Rule]:
    """The rule that is named, or all of them."""
    if settings.column_mapping is not None:
        yield COLUMN_MAPPINGS.get(settings.column_mapping)
        return
    for name in (*COLUMN_MAPPINGS.installed(), *COLUMN_MAPPINGS.builtin):
        yield COLUMN_MAPPINGS.get(name)


def _unknown(columns: list[str], row: Row) -> InputError:
    if not columns:
        return InputError("this row is empty: it has no columns", where=str(row.origin), remedy="remove it")
    talks = next((name for name in columns if holds_messages(row.columns.get(name))), None)
    asked = first_of(columns, PROMPTS) or columns[0]
    answers = [name for name in columns if name != asked and isinstance(row.columns.get(name), str)]
    # Of several answers one may be a bad one: none is proposed.
    answer = answers[0] if len(answers) == 1 and not is_doubtful(answers[0]) else "COLUMN"
    asked, answer = (name if len(name) <= LONGEST_VALUE else "COLUMN" for name in (asked, answer))
    example = f'--prompt_template "{{{asked}}}" --completion_template "{{{answer}}}"'
    remedy = f"{listed_names([talks])} holds messages: rename it to messages" if talks else ""
    return InputError(
        f"these columns are not recognized: {listed_names(columns)}",
        where=str(row.origin),
        remedy=remedy or f"name the columns, for example {example}",
    )


def _refuse_other_kinds(
    mapping: ColumnMapping,
    columns: Sequence[str],
    rows: Sequence[Row],
    find: Find,
) -> None:
    """Refuse rows that would be read otherwise by what they have besides: their answers would be lost in silence.

    Raises:
        InputError: Naming such rows.
    """
    problems = Problems()
    kinds: dict[tuple[str, ...], str] = {}
    for row in rows:
        names = tuple(name for name, value in row.columns.items() if value is not None)
        if set(names) <= set(columns):
            continue
        if names not in kinds:
            found = find(list(names))
            kinds[names] = found.kind if found and set(mapping.columns) <= set(names) else mapping.kind
        if kinds[names] != mapping.kind:
            problems.add(
                f"this row has {listed_names(names)} ({kinds[names]}); most rows have {listed_names(columns)}",
                str(row.origin),
                "use rows of one kind: split the file, or name the columns with --text_template",
            )
    shorten(problems, "rows like these")
    problems.raise_if_any()
