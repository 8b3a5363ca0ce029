"""How a bundle is asked: what its run knew, so that the bundle needs no run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from graft.config import Settings, in_words
from graft.config.describe import bounds
from graft.documents import REMEDY, shown
from graft.errors import InputError, Problem
from graft.runs.record import Count, Record

S = TypeVar("S", bound=Settings)


class PromptRecord(Record):
    """How a bundle or one of its adapters is asked.

    Attributes:
        data: The settings by which the run's rows became prompts: those that were given, and those that were inferred.
        kind: What the columns were recognized as.
        labels: The classes that an answer is one of; of a classifier, the labels of its head.
        max_length: The maximum number of tokens in a row.
        max_new_tokens: The maximum number of tokens in an answer when the run was evaluated.
        generation_prompt: What the chat template puts before an answer.
        stop: The texts that end an answer.
        chat_template: The file of the chat template, relative to the bundle, where it is not the bundle's own.
        chat_template_sha256: The SHA-256 of that file.
        example: A prompt of the run, as messages, or as the very text that the model reads.
    """

    data: dict[str, Any] = Field(default_factory=dict)
    kind: str = ""
    labels: list[str] | None = None
    max_length: Count | None = None
    max_new_tokens: Count | None = None
    generation_prompt: str | None = None
    stop: list[str] = Field(default_factory=list)
    chat_template: str | None = None
    chat_template_sha256: str | None = None
    example: list[dict[str, Any]] | str | None = None

    def makes_same_prompts(self, other: PromptRecord) -> bool:
        """Return whether both make the same prompt of each row."""
        own, its = ((each.data, each.generation_prompt, each.chat_template_sha256) for each in (self, other))
        return own == its

    def settings(self, cls: type[S]) -> S:
        """Return ``data`` as settings of ``cls``; what ``cls`` does not know, such as a task's own option, is omitted.

        Raises:
            InputError: If a value is not valid.
        """
        return recorded_settings(cls, self.data)


def recorded_settings(cls: type[S], data: Mapping[str, Any]) -> S:
    """Return recorded ``data`` as settings of ``cls``; what ``cls`` does not know is omitted.

    Raises:
        InputError: If a value is not valid: the manifest was damaged or edited.
    """
    known = {name: value for name, value in data.items() if name in cls.model_fields}
    try:
        return cls(**known)
    except ValidationError as error:
        wrong = dict.fromkeys(str(one["loc"][0]) for one in error.errors(include_url=False) if one["loc"])
        found = [Problem(_expected(cls, name, known[name]), "manifest.json", REMEDY) for name in wrong]
        raise InputError(*found or [Problem("the recorded settings contradict", "manifest.json", REMEDY)]) from None


def _expected(cls: type[Settings], name: str, value: Any) -> str:
    info = cls.model_fields[name]
    return f"the recorded setting {name} is {shown(value)}; expected {in_words(info.annotation)} {bounds(info)}".strip()
