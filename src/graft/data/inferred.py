"""What was not given and was decided from the data, the model or the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class InferredSetting:
    """A setting, the value it was given, and why: printed, and kept in the manifest."""

    name: str
    value: Any
    why: str
