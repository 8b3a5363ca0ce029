"""Preferences: rows that also have answers which aren't to be learned. graft trains on their good answers, if asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from graft.config import DataSettings
from graft.data.chat_formats import LISTS, read_conversation
from graft.data.columns.answered import refuse_instruction
from graft.data.columns.base import ColumnMapping, first_of, mapping_by_name
from graft.data.columns.chats import conversations, messages, prompt_answer
from graft.data.columns.conversations import Beside, Conversations, context
from graft.data.columns.instructions import input_output, instruction_output, question_answer
from graft.data.columns.listed_answers import ListedAnswers, listed_answers
from graft.data.columns.names import ANSWERS, BESIDE, CHOSEN, VERDICTS, WEAK_VERDICTS, is_rejected
from graft.data.columns.notes import Notes
from graft.data.columns.whole_turns import is_whole, last_answer, shared_turns, whole_turns
from graft.data.example import Example, Origin
from graft.data.inferred import InferredSetting
from graft.data.readers import Row
from graft.data.values import listed_names, nothing
from graft.errors import InputError

NAME = "chosen"
"""The column mapping that trains on good answers."""

_GOOD = {"true", "1", "1.0", "yes", "good", "desirable", "chosen", "preferred", "accepted", "correct", "thumbs_up"}
_BAD = {"false", "0", "0.0", "-1", "-1.0", "no", "bad", "undesirable", "rejected", "incorrect", "wrong", "thumbs_down"}
_GOOD |= {"up", "like", "liked", "upvote", "upvoted", "👍"}
_BAD |= {"down", "dislike", "disliked", "downvote", "downvoted", "👎"}
_NUMBERS = frozenset("0123456789abcdefghABCDEFGH")
_NUMBERED_ANSWERS = {
    *("answer", "completion", "conversation", "generation", "human_ref", "output", "reply", "response", "summary"),
}
"""Columns that there are two of, to be compared; ``option_1`` and ``text_a`` are no answers."""
_COMPARES = re.compile(r"(^|_)(better|best|winner|preferred|preference|chosen|choice|safer|labels?|vote|verdict)(_|$)")
_BESIDE_TURNS = (messages, conversations)
_ANSWERED = (prompt_answer, instruction_output, question_answer, input_output)


def chosen(
    columns: Sequence[str], rows: Sequence[Row], settings: DataSettings, labels: Sequence[str] | None = None
) -> ColumnMapping | None:
    """The good answers of preferences: ``chosen``, ``preferred_output``, or those whose ``label`` is true (KTO).

    Rejected answers aren't trained. It is used only where it is named: ``--column_mapping chosen``.
    """
    if settings.column_mapping != NAME:
        return None
    rejected = rejected_answers(columns, rows)
    left = [name for name in columns if not is_rejected(name)]
    verdict = verdict_column(left, rows)
    answer = first_of([name for name in left if name != verdict], CHOSEN)
    listed = listed_answers(left, rows)
    if answer is None and listed is not None:
        mapping = _of_listed([name for name in left if name != listed.column], listed, rows, settings)
    elif answer is not None:
        mapping = _of_chosen(left, answer, rejected, rows, settings)
    elif verdict is not None:
        mapping = _of_good_rows([name for name in left if name != verdict], verdict, rows, settings)
    else:
        mapping = _first_fitting([name for name in left if name not in VERDICTS], rows, settings) if rejected else None
    if mapping is None:
        return None
    why = "only answers that are preferred are trained"
    said = [*mapping.inferred, InferredSetting("answers", NAME, why)]
    optional = (*mapping.optional, *filter(is_rejected, columns), *_copies(left, answer, rows))
    return replace(mapping, optional=optional, inferred=said)


def _copies(columns: Sequence[str], answer: str | None, rows: Sequence[Row]) -> list[str]:
    """The columns that hold the chosen conversation once more, as ``messages`` of UltraFeedback does."""
    others = [name for name in columns if name in LISTS and name != answer] if answer is not None else []
    return [name for name in others if all(row.columns.get(name) == row.columns.get(str(answer)) for row in rows)]


def _of_chosen(
    columns: Sequence[str], answer: str, rejected: Sequence[str], rows: Sequence[Row], settings: DataSettings
) -> ColumnMapping | None:
    """The mapping of a prompt with its chosen answer, or of whole conversations."""
    others = {*ANSWERS} - {answer}
    left = [name for name in columns if name not in others]
    mapping = next((found for rule in _ANSWERED if (found := rule(left, rows, settings))), None)
    if mapping is None and any(is_whole(row.columns.get(answer)) for row in rows[:1]):
        return _of_conversations(left, answer, rejected, settings)
    return mapping


def _of_conversations(
    columns: Sequence[str], answer: str, rejected: Sequence[str], settings: DataSettings
) -> ColumnMapping:
    """Turns with the answer to them, as in LLaMA-Factory; or whole conversations, whose prompt is what both share."""
    before = first_of(columns, ("conversations", "messages", "conversation"))
    notes = Notes()

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        """Make an example of each answer of the chosen turns that the rejected ones don't have."""
        refuse_instruction(settings, origin)
        turns = whole_turns(row[answer], answer, origin)
        if before is not None:
            shared = read_conversation(row[before], before, origin).turns
            turns = turns[shared_turns(shared, turns) :] if shared_turns(shared, turns) == len(shared) else turns
        else:
            other = next((row[name] for name in rejected if row.get(name)), None)
            bad = whole_turns(other, rejected[0], origin) if other is not None else None
            count = min(last_answer(turns), shared_turns(bad or turns, turns))  # equal ones share their answers, too
            shared, turns = turns[:count], turns[count:]
        if not any(turn.message["role"] == "assistant" for turn in turns):
            raise InputError(f"{answer} has no answer of its own", where=str(origin))
        return Conversations(settings, notes).examples([*context(shared), *turns], Beside.of(row, origin), origin)

    used = (answer,) if before is None else (before, answer)
    return mapping_by_name("/".join(used), used, convert, optional=BESIDE, notes=notes)


def _of_good_rows(
    columns: Sequence[str], verdict: str, rows: Sequence[Row], settings: DataSettings
) -> ColumnMapping | None:
    """The mapping of rows with a verdict, of which those with a bad one give no example."""
    mapping = _first_fitting(columns, rows, settings)
    if mapping is None:
        return None

    def convert(row: Mapping[str, Any], origin: Origin) -> Sequence[Example]:
        """Make the examples of a row whose answer is a good one."""
        if is_good(row[verdict]):
            return mapping.convert(row, origin)
        mapping.notes.count("rows_not_preferred", f"rows whose {verdict} says that the answer is bad", origin)
        return []

    return replace(mapping, columns=(*mapping.columns, verdict), convert=convert)


def _of_listed(
    columns: Sequence[str], listed: ListedAnswers, rows: Sequence[Row], settings: DataSettings
) -> ColumnMapping | None:
    """The mapping of rows with several answers in a list, of which the best is trained."""
    written = [*(name for name in columns if name not in ANSWERS), "completion"]
    mapping = _first_fitting(written, rows, settings)
    if mapping is None:
        return None

    def convert(row: Mapping[str, Any], origin: Origin) -> Sequence[Example]:
        """Make the example of the best answer."""
        best = listed.best(row[listed.column])
        if best is None:
            raise InputError(f"{listed.column} is not {listed.what}", where=str(origin), remedy="remove the row")
        return mapping.convert({**row, "completion": best}, origin)

    used = tuple(listed.column if name == "completion" else name for name in mapping.columns)
    return replace(mapping, columns=used, convert=convert)


def _first_fitting(columns: Sequence[str], rows: Sequence[Row], settings: DataSettings) -> ColumnMapping | None:
    rules = (*_BESIDE_TURNS, *_ANSWERED)
    return next((found for rule in rules if (found := rule(columns, rows, settings))), None)


def rejected_answers(columns: Iterable[str], rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the columns with answers that aren't to be learned; the numbers of ``score_rejected`` are none."""
    named = [name for name in columns if is_rejected(name)]
    first = {name: next((v for row in rows if not nothing(v := row.columns.get(name))), None) for name in named}
    return tuple(name for name in named if not isinstance(first[name], (int, float)))


def verdict_column(columns: Iterable[str], rows: Sequence[Row], certain: bool = False) -> str | None:
    """Return the column that says whether an answer is a good one, as in rows for KTO.

    Args:
        columns: The columns that may be it.
        rows: The rows.
        certain: Whether only names count that mean nothing else.
    """
    for name in columns:
        known = name.strip().casefold()
        if known in VERDICTS or (known in WEAK_VERDICTS and not certain):
            words = {_word(row.columns[name]) for row in rows if row.columns.get(name) is not None}
            are_verdicts = bool(words) and words <= _GOOD | _BAD and (known in VERDICTS or bool(words & _BAD))
            if are_verdicts and not repeats_answer(name, rows):
                return name
    return None


def is_good(value: Any) -> bool:
    """Return whether the value of a verdict column says that the answer is a good one."""
    return _word(value) in _GOOD


def repeats_answer(name: str, rows: Sequence[Row]) -> bool:
    """Whether a column is the answer once more, as ``label`` is in the rows of a run that writes classes."""
    others = {answer for row in rows for answer in ANSWERS if answer != name and answer in row.columns}
    return any(all(row.columns.get(name) in (None, row.columns.get(answer)) for row in rows) for answer in others)


def _word(value: Any) -> str:
    return "_".join(str(value).casefold().split())


class ComparedAnswers(NamedTuple):
    """The columns of two answers, and of what says which of them is better: ``response_a, response_b, winner``."""

    one: str
    other: str
    verdict: str


def compared_answers(columns: Iterable[str]) -> ComparedAnswers | None:
    """Return the columns of two answers that a third one compares; None where there are no such."""
    named = list(columns)
    pairs: dict[str, list[str]] = {}
    for name in named:
        stem, number = name.strip()[:-1].casefold(), name.strip()[-1:]
        stem = stem[:-1] if stem.endswith(("_", " ", "-")) else stem
        if number in _NUMBERS and stem in _NUMBERED_ANSWERS:
            pairs.setdefault(stem, []).append(name)
    one, other = next((pair for pair in pairs.values() if len(pair) == 2), (None, None))
    verdict = next((name for name in named if _COMPARES.search(name.strip().casefold())), None)
    return ComparedAnswers(one, other, verdict) if one and other and verdict else None


class PreferencesFound(InputError):
    """The rows are preferences, and nobody said that their good answers alone are to be trained."""


def refuse_preferences(
    mapping: ColumnMapping | None, columns: Sequence[str], rows: Sequence[Row], settings: DataSettings
) -> None:
    """Refuse rows with good and bad answers that would be trained as if all were good.

    Args:
        mapping: How the rows are read; None where their columns are not recognized.
        columns: The columns that any row has.
        rows: The rows.
        settings: Templates name what is to be learned, unless rows differ by a verdict.

    Raises:
        PreferencesFound: Saying what they are, and how to train on the good ones alone.
    """
    read = {*mapping.columns, *mapping.optional} if mapping is not None else set()
    unread = [name for name in columns if name not in read]
    templates = settings.text_template is not None or settings.prompt_template is not None
    certain = mapping is None or mapping.exhaustive
    named = rejected_answers(unread, rows) if certain and not templates else ()
    rejected = next((name for name in named if any(not nothing(row.columns.get(name)) for row in rows)), None)
    answers = [name for name in columns if mapping is None or name in mapping.columns]
    sought = certain and not templates and rejected is None and settings.column_mapping != NAME
    listed = listed_answers(answers, rows) if sought else None
    found = rejected or (listed.column if listed is not None else None)
    if found is None and mapping is not None and (certain or templates):
        found = verdict_column(unread, rows, mapping.kind.startswith("text"))
    compared = compared_answers(columns) if mapping is None and found is None else None
    if compared is not None:
        found = compared.verdict
    if found is None:
        return
    first = next((row for row in rows if not nothing(row.columns.get(found))), rows[0])
    bad = f"{found} says which answers are good"
    if compared is not None:
        bad = f"{compared.verdict} says whether {compared.one} or {compared.other} is better"
    if rejected or listed is not None:
        bad = f"{found} holds {listed.what if listed is not None else 'answers that are not to be learned'}"
    raise PreferencesFound(
        f"these rows are preferences ({listed_names(columns)}): {bad}, and graft does not train on preferences",
        where=str(first.origin),
        remedy=_remedy(columns, rows, settings),
    )


def _remedy(columns: Sequence[str], rows: Sequence[Row], settings: DataSettings) -> str:
    """How to train on the good answers alone."""
    if chosen(columns, rows, settings.model_copy(update={"column_mapping": NAME})) is not None:
        return f"--column_mapping {NAME} trains on the good answers only"
    answer = next((name for name in columns if name.strip().casefold() in CHOSEN), None)
    prompt = next((name for name in columns if name != answer and not is_rejected(name)), None)
    if answer is None and compared_answers(columns) is not None:
        return "write the better answer of each row to a column named chosen, and omit the others"
    if answer is None or prompt is None:
        return "add the good answers, as the column chosen"
    return f'train on the good answers only: --prompt_template "{{{prompt}}}" --completion_template "{{{answer}}}"'
