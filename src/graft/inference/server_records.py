"""What an OpenAI-compatible server answers, as typed records. Unknown keys are ignored."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from graft.runs.record import Record


class ModelRecord(Record):
    """A model that a server has."""

    id: str


class ModelsRecord(Record):
    """The answer of ``GET /models``."""

    data: list[ModelRecord]


class UsageRecord(Record):
    """Tokens that were read and written."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class MessageRecord(Record):
    """An assistant's message. The content is a text, a list of parts, or nothing (tool calls, a refusal)."""

    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, list):
            return "".join(str(part.get("text") or "") for part in self.content)
        return self.content or ""


class ChatChoiceRecord(Record):
    """An answer of ``/chat/completions``."""

    message: MessageRecord
    finish_reason: str | None = None

    @property
    def written(self) -> str:
        """The text of the answer."""
        return self.message.text


class TextChoiceRecord(Record):
    """An answer of ``/completions``."""

    text: str
    finish_reason: str | None = None

    @property
    def written(self) -> str:
        """The text of the answer."""
        return self.text


class ChatRecord(Record):
    """The answer of ``POST /chat/completions``."""

    choices: list[ChatChoiceRecord] = Field(min_length=1)
    usage: UsageRecord | None = None


class TextRecord(Record):
    """The answer of ``POST /completions``."""

    choices: list[TextChoiceRecord] = Field(min_length=1)
    usage: UsageRecord | None = None


class AnswerRecord(Record):
    """A line of answers.jsonl: what a server wrote for one request.

    Attributes:
        key: The SHA-256 of the address and of all that was sent.
        origin: The row, for people.
        answer: The text as the server gave it.
        finish_reason: Why it ended: ``stop``, ``length``, …
        prompt_tokens: The tokens that the server read, as it counts them.
        completion_tokens: The tokens that it wrote, its reasoning among them.
    """

    key: str
    origin: str = ""
    answer: str
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
