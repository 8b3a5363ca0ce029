"""Settings that were not given and were decided from the data, the model or the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class InferredSetting:
    """A setting with the value that was chosen, and why; printed, and recorded in the manifest."""

    name: str
    value: Any
    why: str
