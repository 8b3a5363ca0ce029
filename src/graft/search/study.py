"""A study: proposes trials, has them run, and keeps their records, so that it can go on after it was killed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graft.runs.search_manifest import TrialRecord
from graft.search.journal import Journal
from graft.search.space import SearchSpace
from graft.search.strategies import Strategy, propose


@dataclass(frozen=True)
class Trial:
    """A trial to run.

    Attributes:
        number: Its number.
        settings: The values of the searched settings.
        before: The trials with lower numbers that run, too, whose scores decide whether this one is pruned.
    """

    number: int
    settings: dict[str, Any]
    before: tuple[int, ...] = ()


Runner = Callable[[Trial], TrialRecord]
"""Runs a trial. It raises ``Interrupted`` where the user stops it; what else goes wrong is in the record."""


class Backend(Protocol):
    """Where trials run."""

    def run(self, trials: Sequence[Trial]) -> Iterator[TrialRecord]:
        """Run trials, started in the order of their numbers; yield the record of each when it ends, in any order.

        The trials do not depend on each other but for their pruning, which waits for lower numbers. A trial whose
        worker was killed starts again.
        """
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class InProcess:
    """Runs one trial after the other in this process."""

    def __init__(self, runner: Runner) -> None:
        self.runner: Runner | None = runner

    def run(self, trials: Sequence[Trial]) -> Iterator[TrialRecord]:
        """Run trials."""
        assert self.runner is not None
        yield from map(self.runner, trials)

    def close(self) -> None:
        """Forget the runner, and with it the base that it has loaded."""
        self.runner = None


@dataclass
class Study:
    """A search.

    Attributes:
        space: What is searched.
        strategy: Proposes the trials.
        num_trials: How many of them, with the defaults as the first.
        seed: Seeds the strategy.
        greater_is_better: Whether greater scores are better.
        defaults: The settings of the first trial.
        effective: The searched settings of a proposal that have an effect, beside the others in it.
        journal: The trials that ended.
    """

    space: SearchSpace
    strategy: Strategy
    num_trials: int
    seed: int
    greater_is_better: bool
    defaults: dict[str, Any]
    effective: Callable[[dict[str, Any]], dict[str, Any]]
    journal: Journal

    def run(self, backend: Backend, ended: Callable[[TrialRecord], None] = lambda record: None) -> list[TrialRecord]:
        """Run the trials that have not ended; a trial with the settings of an earlier one is not run.

        Args:
            backend: Where they run.
            ended: Called with each record after it was written.

        Returns:
            The records of all trials, by number.
        """
        records = {record.number: record for record in self.journal.read()}
        settings: dict[int, dict[str, Any]] = {}
        for numbers in self._generations():
            past = [records[number] for number in sorted(records) if number < numbers[0]]
            for number in numbers:
                settings[number] = self._settings(number, past)
            same = first_of_equals(settings)
            for record in self._repeated(numbers, same, records):
                ended(record)
            left = [number for number in numbers if number not in records and number not in same]
            runs = [number for number in settings if number not in same]
            trials = [
                Trial(number, settings[number], tuple(other for other in runs if other < number)) for number in left
            ]
            for record in backend.run(trials) if trials else ():
                self._keep(record, records)
                ended(record)
                for repeated in self._repeated(numbers, same, records):
                    ended(repeated)
        return [records[number] for number in sorted(records) if number < self.num_trials]

    def proposals(self, count: int) -> list[dict[str, Any]]:
        """Return the settings of the first ``count`` trials, as far as they depend on no result."""
        return [self._settings(number, []) for number in next(self._generations())[:count]]

    def _generations(self) -> Iterator[list[int]]:
        """The numbers of trials that do not depend on each other's results; the first trial comes before them all."""
        size = self.strategy.generation
        if size is None:
            yield list(range(self.num_trials))
            return
        yield [0]
        for start in range(1, self.num_trials, size):
            yield list(range(start, min(start + size, self.num_trials)))

    def _settings(self, number: int, past: Sequence[TrialRecord]) -> dict[str, Any]:
        if number == 0:
            return self.defaults
        depends = past if self.strategy.generation is not None else ()
        return self.effective(
            propose(self.strategy, self.space, number, self.seed, list(depends), self.greater_is_better)
        )

    def _repeated(
        self, numbers: Sequence[int], same: dict[int, int], records: dict[int, TrialRecord]
    ) -> Iterator[TrialRecord]:
        """Record the trials that are equal to one that ended."""
        for number in numbers:
            if number in same and number not in records and same[number] in records:
                record = duplicate(number, records[same[number]])
                self._keep(record, records)
                yield record

    def _keep(self, record: TrialRecord, records: dict[int, TrialRecord]) -> None:
        self.journal.append(record)
        records[record.number] = record


def first_of_equals(settings: dict[int, dict[str, Any]]) -> dict[int, int]:
    """Return for each trial that is equal to an earlier one the number of the first of them."""
    first: dict[str, int] = {}
    same: dict[int, int] = {}
    for number in sorted(settings):
        earlier = first.setdefault(json.dumps(settings[number], sort_keys=True, default=str), number)
        if earlier != number:
            same[number] = earlier
    return same


def duplicate(number: int, of: TrialRecord) -> TrialRecord:
    """Return the record of a trial that is not run, since it would be trial ``of`` again."""
    return TrialRecord(
        number=number,
        settings=of.settings,
        status="duplicate",
        same_as=of.number,
        value=of.value,
        best_step=of.best_step,
        worker=of.worker,
        error=of.error,
    )


def best_of(records: Sequence[TrialRecord], greater_is_better: bool) -> TrialRecord | None:
    """Return the best of the trials that were completed, the first of equal ones; None if there is none."""
    sign = -1.0 if greater_is_better else 1.0
    done = [record for record in records if record.status == "completed" and record.value is not None]
    return min(done, key=lambda record: (sign * float(record.value or 0.0), record.number), default=None)
