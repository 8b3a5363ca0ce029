"""A prompt and the answer to it, each of them a text or messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from graft.config import DataSettings
from graft.data.chat_formats import Turn, holds_messages, read_conversation
from graft.data.columns.conversations import (
    Beside,
    Conversations,
    assistant,
    context,
    read_history,
    read_reasoning,
    user,
)
from graft.data.columns.names import BESIDE
from graft.data.columns.notes import Notes
from graft.data.columns.shape import PromptShape
from graft.data.example import Example, Origin, as_text
from graft.data.inferred import InferredSetting
from graft.data.values import nothing
from graft.errors import InputError

HISTORY_SAID = InferredSetting("history", "trained", "answers in history are trained, as LLaMA-Factory does by default")


@dataclass(frozen=True)
class Answered:
    """Makes the examples of rows with a prompt and an answer."""

    settings: DataSettings
    notes: Notes

    def examples(self, row: Mapping[str, Any], prompt: Any, answer: Any, origin: Origin) -> list[Example]:
        """Return an example for each answer that is trained: those of the answer's messages, and those of ``history``.

        Args:
            row: The row, for what stands beside prompt and answer.
            prompt: A text, or messages; their answers are context.
            answer: A text, or messages, which may repeat the prompt.
            origin: Where the row came from.

        Raises:
            InputError: When something in the row can't be read.
        """
        shape = PromptShape(self.settings)
        if holds_messages(prompt):
            refuse_instruction(self.settings, origin)
            turns, within = read_conversation(prompt, "the prompt", origin)
            turns = context(turns)
        elif prompt == []:
            raise InputError("the prompt is empty", where=str(origin), remedy="fill it in, or remove the row")
        else:
            turns, within = [user(shape.content(as_text(prompt)))], {}
        history = read_history(row, origin, shape.content)
        row = within_row(row, within, self.notes, origin)
        turns = self._answered(turns, prompt, answer, row, origin)
        return Conversations(self.settings, self.notes).examples(turns, Beside.of(row, origin), origin, history)

    def _answered(
        self, turns: list[Turn], prompt: Any, answer: Any, row: Mapping[str, Any], origin: Origin
    ) -> list[Turn]:
        """The turns of the prompt with those of the answer."""
        reasoning = read_reasoning(row, origin)
        if not holds_messages(answer):
            return [*turns, assistant(as_text(answer), reasoning)]
        answers = read_conversation(answer, "the answer", origin).turns
        before = [turn.message for turn in turns]
        if [turn.message for turn in answers[: len(before)]] == before:
            answers = answers[len(before) :]
        elif answers[0].message["role"] not in ("assistant", "tool"):  # a whole conversation, its prompt within it
            turns, answers = _split(answers, prompt, origin)
        return [*turns, *_with_reasoning(answers, reasoning, origin)]


def _split(turns: list[Turn], prompt: Any, origin: Origin) -> tuple[list[Turn], list[Turn]]:
    """A whole conversation as what comes before its last answer, and that answer.

    Raises:
        InputError: When the prompt isn't in it.
    """
    last = max(place for place, turn in enumerate(turns) if turn.message["role"] not in ("assistant", "tool")) + 1
    asked = as_text(prompt).strip()
    if holds_messages(prompt) or not any(asked in turn.message["content"] for turn in turns[:last]):
        raise InputError("the answer is a conversation without the prompt in it", where=str(origin))
    return context(turns[:last]), turns[last:]


def _with_reasoning(answers: list[Turn], reasoning: str | None, origin: Origin) -> list[Turn]:
    if reasoning is None:
        return answers
    last = answers[-1].message if answers else {}
    if last.get("role") != "assistant" or "reasoning_content" in last:
        raise InputError("the row has a reasoning column, and messages with their own reasoning", where=str(origin))
    return [*answers[:-1], replace(answers[-1], message={**last, "reasoning_content": reasoning})]


def within_row(row: Mapping[str, Any], within: Mapping[str, Any], notes: Notes, origin: Origin) -> Mapping[str, Any]:
    """Return a row with what stands beside the messages within their own column, such as ``tools``."""
    if not within:
        return row
    notes.unread((name for name, value in within.items() if name not in BESIDE and not nothing(value)), origin)
    return {**within, **{name: value for name, value in row.items() if not nothing(value)}}


def refuse_instruction(settings: DataSettings, origin: Origin) -> None:
    """Check that no instruction is given for messages.

    Raises:
        InputError: When an instruction is given for messages, which are what they are.
    """
    if settings.instruction is not None:
        raise InputError(
            "--instruction is put before texts, and this prompt is messages",
            where=str(origin),
            remedy="use --system_prompt, or omit --instruction",
        )
