"""Examples as token ids."""

from __future__ import annotations

from dataclasses import dataclass

from graft.data.example import Origin


@dataclass(frozen=True)
class Encoded:
    """A row as the model reads it: the tokens from ``prompt_length`` on are trained on."""

    input_ids: list[int]
    prompt_length: int
    origin: Origin
