"""What a strategy of ``graft search`` is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from graft.config import Settings
from graft.registry import optional
from graft.runs.search_manifest import TrialRecord
from graft.search.space import SearchSpace


class Strategy(Protocol):
    """Chooses the settings of each trial; constructed with its settings, a ``Config``.

    A proposal depends on its arguments alone: so a study that was killed makes the same trials again, on one worker or
    on several.

    Attributes:
        name: Its name.
        help: One line for ``--help``.
        needs: The extras it takes, each with a module of it: ``("search", "optuna")``.
        generation: Of so many consecutive trials none knows the results of another; they can run at the same time.
            None: no trial depends on a result.
    """

    Config: ClassVar[type[Settings]] = Settings
    name: ClassVar[str]
    help: ClassVar[str]
    needs: ClassVar[tuple[tuple[str, str], ...]] = ()
    generation: ClassVar[int | None] = None

    def __init__(self, settings: Any) -> None: ...

    @optional
    def size(self, space: SearchSpace) -> int | None:
        """Return the number of different trials; None where there is no end of them.

        Raises:
            InputError: If the strategy cannot search this space.
        """
        return None

    def propose(
        self, space: SearchSpace, number: int, seed: int, past: Sequence[TrialRecord], greater_is_better: bool
    ) -> dict[str, Any]:
        """Return the searched settings of a trial.

        Args:
            space: What is searched.
            number: The trial's number, from 1; trial 0 has the defaults.
            seed: The study's seed.
            past: The trials that ended, of earlier generations alone, by number.
            greater_is_better: Whether a greater value of a trial is better.
        """
        ...
