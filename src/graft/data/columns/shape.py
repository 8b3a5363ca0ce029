"""Prompts as the settings shape them."""

from __future__ import annotations

from dataclasses import dataclass

from graft.config import DataSettings
from graft.data.example import Message


@dataclass(frozen=True)
class PromptShape:
    """Makes prompts with the system message and the instruction that the settings give."""

    settings: DataSettings

    def prompt(self, text: str, instruction: str | None = None, system: str | None = None) -> tuple[Message, ...]:
        """Return the messages of a prompt; the settings win over ``instruction`` and ``system`` of the row."""
        system = self.settings.system_prompt or system
        before: tuple[Message, ...] = ({"role": "system", "content": system},) if system else ()
        return (*before, {"role": "user", "content": self.content(text, instruction)})

    def content(self, text: str, instruction: str | None = None) -> str:
        """Return the text of a prompt, after the instruction of the settings or, without one, that of the row."""
        instruction = self.settings.instruction or instruction
        return f"{instruction}\n\n{text}" if instruction and text else instruction or text
