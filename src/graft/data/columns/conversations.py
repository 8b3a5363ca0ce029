"""From turns, and what stands beside them in a row, to an example for each answer that is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graft.config import DataSettings
from graft.data.cells import decoded
from graft.data.chat_formats import Turn, holds_messages, one_of, read_conversation, read_weight
from graft.data.chat_tools import Tool, from_json, read_tools
from graft.data.columns.names import HISTORY, SYSTEM, TEMPLATE_KWARGS, TOOLS
from graft.data.columns.notes import Notes
from graft.data.content import REASONING, read_content
from graft.data.example import AnswerExample, Example, Message, Origin, as_text
from graft.data.values import nothing
from graft.errors import InputError


@dataclass(frozen=True)
class Beside:
    """What stands beside the messages of a row.

    Attributes:
        system: The system message of a column.
        tools: What the model may call.
        template_kwargs: What the chat template gets besides.
        trained: Whether the row says that it is trained; None where it says nothing.
    """

    system: str | None = None
    tools: Sequence[Tool] | None = None
    template_kwargs: Mapping[str, Any] | None = None
    trained: bool | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any], origin: Origin) -> Beside:
        """Return what stands beside the messages of a row.

        Raises:
            InputError: When it can't be read.
        """
        system = one_of(row, SYSTEM, origin)
        if isinstance(system, dict):  # a message, or else no text
            system = one_of(system, ("content", "parts"), origin, "the system column") or system
        text = None if system is None else read_content(system, "system", origin, "the system column").text
        tools = read_tools(one_of(row, TOOLS, origin), origin)
        return cls(text, tools, _template_kwargs(row, origin), read_weight(row, origin))


def _template_kwargs(row: Mapping[str, Any], origin: Origin) -> Mapping[str, Any] | None:
    (name,) = TEMPLATE_KWARGS
    found = decoded(row.get(name))
    if nothing(found):
        return None
    if not isinstance(found, dict):
        raise InputError(f"{name} must be an object, not {found!r}", where=str(origin))
    return found


def read_history(row: Mapping[str, Any], origin: Origin, prompt: Any = str) -> list[Turn]:
    """Return the turns of ``history``: pairs of a prompt and its answer, as in LLaMA-Factory, or messages.

    Args:
        row: The row.
        origin: Where it came from.
        prompt: Shapes the text of each prompt.

    Raises:
        InputError: If it holds neither.
    """
    (name,) = HISTORY
    found = decoded(row.get(name))
    if nothing(found):
        return []
    if holds_messages(found):
        return read_conversation(found, name, origin).turns
    pairs = [from_json(pair) for pair in found] if isinstance(found, list) else []
    if not pairs or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise InputError(
            f"{name} must be a list of pairs or of messages, not {str(found)[:60]!r}",
            where=str(origin),
            remedy='[["first prompt", "first answer"], ["second prompt", "second answer"]]',
        )
    if any(not isinstance(text, str) for pair in pairs for text in pair):
        raise InputError(f"a pair of {name} is not a prompt with its answer", where=str(origin), remedy="fill it in")
    return [turn for asked, answer in pairs for turn in (user(prompt(asked)), assistant(answer))]


def user(text: str) -> Turn:
    """Return the turn of a prompt."""
    return Turn({"role": "user", "content": text})


def assistant(text: str, reasoning: str | None = None) -> Turn:
    """Return the turn of an answer."""
    message = {"role": "assistant", "content": text}
    return Turn({**message, "reasoning_content": reasoning} if reasoning else message)


def read_reasoning(row: Mapping[str, Any], origin: Origin) -> str | None:
    """Return what the model thinks before the answer, where a column has it.

    Raises:
        InputError: If it is no text.
    """
    found = one_of(row, REASONING, origin)
    if found is None or isinstance(found, str):
        return found if found and found.strip() else None
    if isinstance(found, list):
        return read_content(found, "assistant", origin, "the reasoning column").text
    name = next(name for name in REASONING if row.get(name) is not None)
    raise InputError(
        f"{name} must be what the model thinks before its answer, not {as_text(found)[:60]}",
        where=str(origin),
        remedy=f"--ignore_columns {name} if it means something else",
    )


@dataclass(frozen=True)
class Conversations:
    """Makes the examples of conversations, and counts what is worth a line in the plan."""

    settings: DataSettings
    notes: Notes

    def examples(
        self, turns: Sequence[Turn], beside: Beside, origin: Origin, history: Sequence[Turn] = ()
    ) -> list[Example]:
        """Return an example for each answer that is trained.

        Args:
            turns: The turns; answers are trained unless they say otherwise.
            beside: What stands beside them.
            origin: The row.
            history: Turns between the system message and the others.

        Raises:
            InputError: When there is no answer after a prompt.
        """
        whole = self._with_system(list(turns), list(history), beside, origin)
        messages = [turn.message for turn in whole]
        answers = [place for place, turn in enumerate(whole) if turn.message["role"] == "assistant"]
        if not any(answers):
            raise InputError("the conversation has no assistant message to train on", where=str(origin))
        trained = [
            place for place in answers if place and beside.trained is not False and whole[place].trained is not False
        ]
        self._note(whole, answers, trained, origin)
        return [_example(messages, place, beside, origin) for place in trained]

    def _note(self, whole: Sequence[Turn], answers: Sequence[int], trained: Sequence[int], origin: Origin) -> None:
        self.notes.unread_keys((name for turn in whole for name in turn.unread), origin)
        if not trained:
            self.notes.count("rows_not_trained", "rows all of whose answers are switched off", origin)
        elif len(trained) < len(answers):
            off = len(answers) - len(trained)
            why = "answers that are read as context only: switched off, part of a prompt, or before any prompt"
            self.notes.count("answers_not_trained", why, origin, off)
        asked = any(turn.trained and turn.message["role"] != "assistant" for turn in whole)
        self.notes.count("prompts_not_trained", "rows that switch on turns that are not answers", origin, asked)
        if answers[-1] < len(whole) - 1:
            self.notes.count("turns_without_answer", "rows that end with a turn without an answer", origin)

    def _with_system(self, turns: list[Turn], history: list[Turn], beside: Beside, origin: Origin) -> list[Turn]:
        """The turns after one system message: that of the settings, else of the messages, else of the column."""
        own = turns[:1] if turns and turns[0].message["role"] in ("system", "developer") else history[:1]
        own = own if own and own[0].message["role"] in ("system", "developer") else []
        rest = [*(history[1:] if history[:1] == own else history), *(turns[1:] if turns[:1] == own else turns)]
        texts = {turn.message["content"] for turn in own} | ({beside.system} if beside.system else set())
        given = self.settings.system_prompt
        if given:
            replaced = bool(texts - {given, ""})
            self.notes.count(
                "system_messages_replaced", "rows whose own system message --system_prompt replaces", origin, replaced
            )
            return [Turn({"role": "system", "content": given}), *rest]
        if own and len(texts - {""}) > 1:
            why = "rows whose messages begin with another system message, which is the one that is used"
            self.notes.count("system_column_not_read", why, origin)
        if beside.system and not (own and own[0].message["content"]):
            own = [Turn({"role": "system", "content": beside.system})]
        return [*own, *rest]


def _example(messages: Sequence[Message], place: int, beside: Beside, origin: Origin) -> AnswerExample:
    message = messages[place]
    says = bool(message["content"].strip()) or "tool_calls" in message  # thoughts alone are no answer
    answer = message if says and set(message) > {"role", "content"} else None
    kwargs = beside.template_kwargs
    prompt = tuple(messages[:place])
    return AnswerExample(prompt, message["content"], origin, tools=beside.tools, answer=answer, template_kwargs=kwargs)


def context(turns: Sequence[Turn]) -> list[Turn]:
    """Return turns of a prompt: their answers are trained only where they say so."""
    return [turn if turn.trained else replace(turn, trained=False) for turn in turns]
