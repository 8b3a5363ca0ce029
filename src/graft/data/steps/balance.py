"""As many training rows of each class."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from graft.config import Settings, setting
from graft.data.aligned import classes_of, with_places
from graft.data.example_set import ExampleSet, source_key, text_hash
from graft.data.provenance import PROVENANCE
from graft.data.readers import Row
from graft.data.spool import Joined, Spool
from graft.data.steps.base import Change, Sides, StepContext
from graft.errors import InputError

Places = NDArray[np.int64]


class BalanceSettings(Settings):
    """How classes get the same number of rows."""

    balance: Literal["oversample", "undersample"] | None = setting(
        None,
        "give each class the same number of training rows: repeat rows of rare classes (oversample), or drop rows "
        "of frequent ones (undersample); to weight them instead, train with --loss class-weighted",
    )


class Balance:
    """Training rows of rare classes are repeated, or those of frequent ones are dropped. Evaluation rows stay."""

    name = "balance"
    title = "give each class the same number of training rows"
    safe = False
    Config = BalanceSettings

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the sides with balanced training rows.

        Raises:
            InputError: If the answers are no classes.
        """
        rows = sides["train"]
        examples = context.examples(rows)
        if classes_of(examples, context.mapping(rows)) is None:
            raise InputError("only rows with classes can be balanced", where=f"--{self.name}", remedy="omit the step")
        _, classes = np.unique(examples.references, return_inverse=True)
        members = [np.flatnonzero(classes == number) for number in range(int(classes.max()) + 1)]
        if context.config.balance == "undersample":
            return {**sides, "train": _fewer(rows, examples, members, context)}
        added = Spool(_copies(rows, examples, members, context))
        return {**sides, "train": Joined([rows, added])} if added else sides


def _fewer(rows: Sequence[Row], examples: ExampleSet, members: Sequence[Places], context: StepContext) -> Sequence[Row]:
    """The rows with as many of each class as the rarest has, drawn by the seed; what was made of the others goes, too.

    Copies do not count: they were made of the rows that stay, or go with theirs.
    """
    independent = [places[examples.sources[places] <= 1] for places in members]
    goal, chance = min(map(len, independent)), random.Random(context.seed)
    kept = examples.sources > 1
    for places in independent:
        kept[places[chance.sample(range(len(places)), goal)]] = True
    dropped = [text_hash(source_key(examples[place])) for place in np.flatnonzero(~kept).tolist()]
    kept &= ~np.isin(examples.sources, np.array(dropped, np.uint64)) | (examples.sources <= 1)
    return Spool(_kept(rows, examples, kept, f"more than {goal:,} rows of its class", context))


def _kept(
    rows: Sequence[Row], examples: ExampleSet, kept: NDArray[np.bool_], why: str, context: StepContext
) -> Iterator[Row]:
    for row, places in with_places(rows, examples):
        if not len(places) or kept[places.start]:
            yield row
        else:
            context.log.add(Change(Balance.name, "dropped", row.origin, "train", why))


def _copies(
    rows: Sequence[Row], examples: ExampleSet, members: Sequence[Places], context: StepContext
) -> Iterator[Row]:
    """Copies of rows of the classes that have fewer than the most frequent one."""
    wanted = _times(examples, members, context.seed)
    for row, places in with_places(rows, examples):
        if not len(places) or not wanted[places.start]:
            continue
        key, origin = source_key(examples[places.start]), replace(row.origin, added=True)
        marked = {"step": Balance.name, "source": str(row.origin), "of": key}
        for _ in range(int(wanted[places.start])):
            context.log.add(Change(Balance.name, "added", row.origin, "train", "a copy, as its class has fewer rows"))
            yield Row({**row.columns, PROVENANCE: marked}, origin)


def _times(examples: ExampleSet, members: Sequence[Places], seed: int) -> Places:
    """How many copies of each row there are to be: as evenly as possible, of rows that no program has added."""
    goal, chance = max(map(len, members)), random.Random(seed)
    times = np.zeros(len(examples), np.int64)
    for places in members:
        own = places[examples.sources[places] == 0]
        sources = own if len(own) else places
        each, more = divmod(goal - len(places), len(sources))
        times[sources] = each
        times[sources[chance.sample(range(len(sources)), more)]] += 1
    return times
