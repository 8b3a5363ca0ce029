"""Random search."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, ClassVar

from graft.config import Settings
from graft.runs.search_manifest import TrialRecord
from graft.search.space import SearchSpace


class RandomSearch:
    """Independent draws, which beat a grid where few of the settings matter (Bergstra and Bengio 2012)."""

    Config: ClassVar[type[Settings]] = Settings
    name: ClassVar[str] = "random"
    help: ClassVar[str] = "independent random draws"
    needs: ClassVar[tuple[tuple[str, str], ...]] = ()
    generation: ClassVar[int | None] = None

    def __init__(self, settings: Settings) -> None:
        pass

    def size(self, space: SearchSpace) -> int | None:
        """Return None: there is no end of draws."""
        return None

    def propose(
        self, space: SearchSpace, number: int, seed: int, past: Sequence[TrialRecord], greater_is_better: bool
    ) -> dict[str, Any]:
        """Draw each setting by a generator of the study's seed and the trial's number."""
        numbers = random.Random(f"{seed}:{number}")
        return {dimension.name: dimension.sample(numbers) for dimension in space.dimensions}
