"""The tree-structured Parzen estimator (Bergstra et al. 2011), by optuna."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from graft.config import Settings, setting
from graft.errors import need_extra
from graft.runs.search_manifest import TrialRecord
from graft.search.space import Dimension, SearchSpace

TRIES, DRAWS = 8, 64
"""How often TPE is asked again for what no earlier trial had, and then how often it is drawn at random."""


class TpeConfig(Settings):
    """Options of TPE."""

    n_startup_trials: int = setting(10, "trials that are drawn at random before results decide", gt=0)


class TreeParzenSearch:
    """Draws where good trials are denser than the others.

    Each trial has a sampler of its own, seeded by the study's seed and the trial's number, which knows the trials of
    earlier generations: optuna's own study, resumed, would go on from other random numbers.
    """

    Config: ClassVar[type[Settings]] = TpeConfig
    name: ClassVar[str] = "tpe"
    help: ClassVar[str] = "where earlier trials were good (tree-structured Parzen estimator)"
    needs: ClassVar[tuple[tuple[str, str], ...]] = (("search", "optuna"),)
    generation: ClassVar[int | None] = 4

    def __init__(self, settings: TpeConfig) -> None:
        if importlib.util.find_spec("optuna") is None:
            raise need_extra("search", "optuna")
        self.settings = settings

    def size(self, space: SearchSpace) -> int | None:
        """Return None: there is no end of draws."""
        return None

    def propose(
        self, space: SearchSpace, number: int, seed: int, past: Sequence[TrialRecord], greater_is_better: bool
    ) -> dict[str, Any]:
        """Return a random draw for the first trials, then what TPE draws that no earlier trial had, if it does."""
        known = [trial.settings for trial in past]
        drawn: dict[str, Any] = {}
        first = TRIES if number < self.settings.n_startup_trials or not past else 0
        for attempt in range(first, TRIES + DRAWS):
            if attempt < TRIES:
                drawn = self._asked(space, _number(f"{seed}:{number}:{attempt}"), past, greater_is_better)
            else:
                numbers = random.Random(f"{seed}:{number}" if attempt == TRIES else f"{seed}:{number}:{attempt}")
                drawn = {dimension.name: dimension.sample(numbers) for dimension in space.dimensions}
            if drawn not in known:
                break
        return drawn

    def _asked(
        self, space: SearchSpace, seed: int, past: Sequence[TrialRecord], greater_is_better: bool
    ) -> dict[str, Any]:
        import optuna

        with _quiet():
            axes = {dimension.name: _Axis(dimension) for dimension in space.dimensions}
            study = optuna.create_study(
                sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=1),
                direction="maximize" if greater_is_better else "minimize",
            )
            study.add_trials([trial for record in past for trial in _frozen(record, axes)])
            asked = study.ask({name: axis.distribution for name, axis in axes.items()})
            return {name: axis.value(asked.params[name]) for name, axis in axes.items()}


class _Axis:
    """A dimension as optuna has it: a choice and a range with steps by the place of a value, from 0."""

    def __init__(self, dimension: Dimension) -> None:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        self.dimension = dimension
        self.by_place = dimension.kind == "choice" or dimension.step is not None
        self.distribution: Any
        if dimension.kind == "choice":
            self.distribution = CategoricalDistribution(range(len(dimension.values)))
        elif dimension.step is not None:
            self.distribution = IntDistribution(0, (dimension.count() or 1) - 1)
        elif dimension.kind == "int":
            self.distribution = IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
        else:
            self.distribution = FloatDistribution(dimension.low, dimension.high, log=dimension.log)

    def value(self, drawn: Any) -> Any:
        """The value of the setting."""
        return self.dimension.point(drawn) if self.by_place else drawn

    def drawn(self, value: Any) -> Any:
        """What optuna would have drawn for a value; None where the value is not in the space."""
        if self.dimension.kind == "choice":
            same = (type(value) is type(each) and value == each for each in self.dimension.values)
            return next((place for place, is_it in enumerate(same) if is_it), None)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        if not self.dimension.low <= value <= self.dimension.high:
            return None
        if self.dimension.step is None:
            return int(value) if self.dimension.kind == "int" else float(value)
        place = (value - self.dimension.low) / self.dimension.step
        return round(place) if abs(place - round(place)) < 1e-6 and self.distribution._contains(round(place)) else None


def _frozen(record: TrialRecord, axes: Mapping[str, _Axis]) -> Iterator[Any]:
    """An earlier trial for optuna; nothing of trials that failed, or that repeat another.

    The defaults of the first trial may be outside the space: such a setting is left out, and the others tell.
    """
    from optuna.trial import TrialState, create_trial

    drawn = {name: axis.drawn(record.settings.get(name)) for name, axis in axes.items()}
    drawn = {name: value for name, value in drawn.items() if value is not None}
    distributions = {name: axes[name].distribution for name in drawn}
    if record.status == "completed" and record.value is not None and math.isfinite(record.value):
        yield create_trial(value=record.value, params=drawn, distributions=distributions)
    elif record.status == "pruned" and record.history:
        yield create_trial(
            state=TrialState.PRUNED,
            intermediate_values=dict(record.history),
            params=drawn,
            distributions=distributions,
        )


def _number(text: str) -> int:
    """A seed of 32 bits, the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without optuna's log lines and warnings about features that may change."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
