"""Rows to judge by, taken from those to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import ValidationInfo, field_validator

from graft.config import Settings, setting
from graft.data.aligned import classes_of, with_places
from graft.data.example_set import ExampleSet
from graft.data.readers import Row
from graft.data.split import Split as Sided
from graft.data.split import hold_out, usual_share
from graft.data.split_by import groups_by, hold_out_newest, times_by
from graft.data.spool import Spool
from graft.data.steps.base import Change, Sides, StepContext
from graft.errors import InputError

TRAIN = "train"


class SplitSettings(Settings):
    """How many rows are judged, and which belong together."""

    eval_share: float | None = setting(
        None, "share of the rows for the eval side (default: 0.1 to 0.2, depending on their number)", gt=0, lt=1
    )
    test_share: float | None = setting(None, "share of the rows for the test side (default: no test side)", gt=0, lt=1)
    eval_rows: int | None = setting(None, "number of rows for the eval side, instead of a share", gt=0)
    test_rows: int | None = setting(None, "number of rows for the test side, instead of a share", gt=0)
    group_column: str | None = setting(None, "column whose equal values must be on one side, such as the author")
    time_column: str | None = setting(None, "column with times or numbers; the newest rows become evaluation rows")

    @field_validator("eval_rows", "test_rows")
    @classmethod
    def _one_of_both(cls, value: int | None, info: ValidationInfo) -> int | None:
        share = str(info.field_name).replace("_rows", "_share")
        if value is not None and info.data.get(share) is not None:
            raise ValueError(f"is {value}, and --{share} is given, too; omit one of the two")
        return value


class Split:
    """A side that is there stays as it is. The seed decides what is drawn; both sides keep the order of the rows."""

    name = "split"
    title = "take evaluation rows from the training rows, with no near twin on the other side"
    safe = False
    Config = SplitSettings

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the sides with those that were missing.

        Raises:
            InputError: If there are too few rows, or a column is missing or has values that cannot be compared.
        """
        wanted = _wanted(context.config, sides)
        if not wanted:
            return sides
        rows, config = sides[TRAIN], context.config
        examples = context.examples(rows)
        judged = _judged(rows, examples, wanted, context)
        made: dict[str, Spool[Row]] = {side: Spool() for side in (TRAIN, *wanted)}
        why = "among the newest rows" if config.time_column else f"held out with the seed {context.seed}"
        for row, places in with_places(rows, examples):
            side = judged[places.start] if len(places) else TRAIN
            if not side:
                what = "it was made from a row that is judged now"
                context.log.add(Change(self.name, "dropped", row.origin, TRAIN, what))
                continue
            if side != TRAIN:
                context.log.add(Change(self.name, "moved", row.origin, side, why))
            made[side].append(row)
        return {**sides, **made}


def _wanted(config: SplitSettings, sides: Sides) -> dict[str, float | int | None]:
    """The sides that are requested and are not there, each with its share, its number of rows, or None."""
    test = config.test_share or config.test_rows
    asked: dict[str, float | int | None] = {"eval": config.eval_share or config.eval_rows}
    asked |= {"test": test} if test else {}
    return {side: size for side, size in asked.items() if side not in sides}


def _judged(
    rows: Sequence[Row], examples: ExampleSet, wanted: Mapping[str, float | int | None], context: StepContext
) -> list[str]:
    """The side of each example; empty for an added one that was made from a judged row.

    Raises:
        InputError: If nothing would be left to train on, or a side would have no rows.
    """
    count = int(np.count_nonzero(examples.sources == 0))
    shares = {side: _share(size, count) for side, size in wanted.items()}
    if sum(shares.values()) >= 1:
        what = f"the sides that are judged would take all {count:,} rows"
        raise InputError(what, where="--steps split", remedy="ask for fewer rows")
    draw = _Drawn(rows, examples, context)
    found = draw.of(examples, sum(shares.values()))
    sides = dict.fromkeys(found.train.places.tolist(), TRAIN)
    first, *others = reversed(shares)  # the test side, which has the newest rows, before the eval side
    held = found.held_out
    if others:
        inner = draw.of(held, shares[first] / sum(shares.values()))
        sides |= dict.fromkeys(inner.train.places.tolist(), others[0])
        held = inner.held_out
    sides |= dict.fromkeys(held.places.tolist(), first)
    return [sides.get(place, "") for place in range(len(examples))]


def _share(size: float | int | None, count: int) -> float:
    if size is None:
        return usual_share(count)
    return size / max(1, count) if isinstance(size, int) else size


class _Drawn:
    """Holds out rows by their times, or else by chance."""

    def __init__(self, rows: Sequence[Row], examples: ExampleSet, context: StepContext) -> None:
        self._context, config = context, context.config
        self._labels = classes_of(examples, context.mapping(rows))
        by = config.group_column, config.time_column
        self._groups = groups_by(rows, examples, by[0]) if by[0] else None
        self._times = times_by(rows, examples, by[1]) if by[1] else None

    def of(self, examples: ExampleSet, share: float) -> Sided:
        """Hold out a share of some of the examples."""
        groups = None if self._groups is None else self._groups[examples.places]
        if self._times is not None:
            return hold_out_newest(examples, share, self._times[examples.places], groups)
        return hold_out(examples, share, self._context.seed, self._labels, groups)
