"""What writes texts for steps: a model on this machine, or a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graft.data.example import AnswerExample


@dataclass(frozen=True)
class Written:
    """What a teacher wrote.

    Attributes:
        text: The answer, without reasoning and without blanks around it; empty where there is none.
        fault: Why it can't be used, in one clause: it was cut, or the request was refused; empty where it can.
    """

    text: str
    fault: str = ""


class Teacher(Protocol):
    """Writes answers to prompts. Those that it has written are kept: a command that was stopped goes on."""

    def about(self) -> Mapping[str, Any]:
        """Return what is recorded of it in each row that it wrote: its name, its address, its settings; no secrets."""
        ...

    def write(self, asked: Sequence[AnswerExample], usual_tokens: int) -> Sequence[Written]:
        """Return the answer to each prompt, in their order.

        Args:
            asked: The prompts; their completions aren't read.
            usual_tokens: The most tokens of an answer unless the user sets them; one that is cut has a ``fault``.

        Raises:
            GraftError: If it can't be reached, or a request fails after all tries; the answers so far are kept.
            Interrupted: If the user stops it; the answers so far are kept.
        """
        ...
