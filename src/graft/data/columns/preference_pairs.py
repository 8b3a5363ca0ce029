"""Pairs of a good and a bad answer, and answers with a verdict, as texts that can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from graft.data.chat_formats import LISTS, Turn
from graft.data.columns.base import first_of
from graft.data.columns.listed_answers import ListedAnswers, listed_answers
from graft.data.columns.names import ANSWERS, CHOSEN, HISTORY, PROMPTS, SYSTEM, is_rejected
from graft.data.columns.preferences import is_good, rejected_answers, verdict_column
from graft.data.columns.whole_turns import is_whole, last_answer, shared_turns, whole_turns
from graft.data.example import Origin, as_text
from graft.data.readers import Row
from graft.data.values import nothing
from graft.errors import GraftError


class Preference(NamedTuple):
    """A row of preferences.

    Attributes:
        prompt: What both answers are to.
        chosen: The good answer; of a row with a verdict, its answer.
        rejected: The bad answer; empty in a row with a verdict.
        is_good: The verdict; None in a row with two answers.
    """

    prompt: str
    chosen: str
    rejected: str = ""
    is_good: bool | None = None


@dataclass(frozen=True)
class PreferenceColumns:
    """Where the rows have their answers.

    Attributes:
        prompts: The columns of the prompt.
        chosen: The column of the good answers.
        rejected: The column of the bad answers; None where a verdict says which answers are bad.
        verdict: The column of the verdicts.
        listed: All answers in one column.
    """

    prompts: tuple[str, ...]
    chosen: str
    rejected: str | None = None
    verdict: str | None = None
    listed: ListedAnswers | None = None

    @classmethod
    def of(cls, columns: Sequence[str], rows: Sequence[Row]) -> PreferenceColumns | None:
        """Return where rows have their answers; None where they are no preferences.

        Args:
            columns: The names of the columns.
            rows: The rows, or the first of them.
        """
        rejected = next(iter(rejected_answers(columns, rows)), None)
        left = [name for name in columns if not is_rejected(name)]
        listed = listed_answers(left, rows) if rejected is None else None
        verdict = verdict_column(left, rows) if rejected is None and listed is None else None
        answers = [name for name in left if name != verdict]
        chosen = listed.column if listed else first_of(answers, (*CHOSEN, *ANSWERS)) or first_of(answers, LISTS)
        if chosen is None or not (rejected or verdict or listed):
            return None
        prompts = [name for name in (*SYSTEM, *HISTORY, *LISTS, *PROMPTS, "context") if name in left and name != chosen]
        return cls(tuple(prompts), chosen, rejected, verdict, listed)

    def read(self, row: Mapping[str, Any], origin: Origin) -> Preference | None:
        """Return what a row says; None where it cannot be read or lacks an answer."""
        prompt = repr([row.get(name) for name in self.prompts])
        try:
            if self.listed is not None:
                return self._listed(prompt, row[self.chosen])
            if self.verdict is not None:
                answer = as_text(row[self.chosen]).strip()
                return Preference(prompt, answer, is_good=is_good(row[self.verdict])) if answer else None
            return self._pair(prompt, row, origin)
        except (GraftError, KeyError):
            return None

    def _listed(self, prompt: str, value: Any) -> Preference | None:
        """The two answers, or the best and the worst."""
        assert self.listed is not None
        answers = self.listed.in_order(value)
        return Preference(prompt, answers[0].strip(), answers[-1].strip()) if len(answers) > 1 else None

    def _pair(self, prompt: str, row: Mapping[str, Any], origin: Origin) -> Preference | None:
        assert self.rejected is not None
        good, bad = row[self.chosen], row[self.rejected]
        if nothing(good) or nothing(bad):
            return None
        if not (is_whole(good) and is_whole(bad)):
            asked, answer = _parted(good, self.chosen, origin)
            return Preference(prompt + asked, answer, _parted(bad, self.rejected, origin)[1])
        left, right = whole_turns(good, self.chosen, origin), whole_turns(bad, self.rejected, origin)
        count = min(shared_turns(left, right), last_answer(left))  # equal ones share their answers, too
        return Preference(prompt + _text(left[:count]), _text(left[count:]), _text(right[count:]))


def _parted(value: Any, name: str, origin: Origin) -> tuple[str, str]:
    """The turns before an answer, and the answer."""
    if not is_whole(value):
        return "", as_text(value).strip()
    turns = whole_turns(value, name, origin)
    return _text(turns[:-1]), _text(turns[-1:])


def _text(turns: Sequence[Turn]) -> str:
    return "\n\n".join(as_text(turn.message.get("content") or "").strip() for turn in turns)
