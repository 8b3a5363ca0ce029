"""Preferences: rows with good and bad answers, and what would spoil a training on them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.data.chat_formats import holds_messages
from graft.data.checks.base import Finding, many
from graft.data.checks.view import CheckedData, Side
from graft.data.columns.names import ANSWERS, RATINGS
from graft.data.columns.preference_pairs import PreferenceColumns
from graft.data.columns.preferences import NAME
from graft.data.example_set import Hashes, text_hash
from graft.data.located import Located
from graft.data.readers import Row
from graft.data.values import listed_names, nothing

FEWEST_PAIRS = 50
MOST_LONGER = 0.65
"""The share of pairs with a longer good answer above which length tells good from bad."""
LOOKED_AT = 1000
_REWARDED = ("answer", "solution", "ground_truth")


class Preferences:
    """What preferences are, pairs that teach nothing or the contrary of another, and lengths that give them away."""

    name = "preferences"
    title = "Preferences"
    quick = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield what the rows are, and what is wrong with them as preferences."""
        for side in data.own_sides:
            first = list(islice(side.rows, LOOKED_AT))
            columns = list(dict.fromkeys(name for row in first for name in row.columns))
            found = PreferenceColumns.of(columns, first) if _are_preferences(data, columns) else None
            if found is not None:
                yield from _examined(data, side, found)
            elif side.name == "train" and data.preferences is not None:
                yield _refused(data, Located(row.origin for row in side.rows))
            elif side.name == "train":
                yield from _no_preferences(data, columns, first)


def _are_preferences(data: CheckedData, columns: Sequence[str]) -> bool:
    """Whether they were refused as such, or their good answers are trained because the user says so."""
    inferred = data.mapping.inferred if data.mapping is not None else ()
    asked = any((setting.name, setting.value) == ("answers", NAME) for setting in inferred)
    return data.preferences is not None or asked or {"chosen", "rejected"} <= set(columns)


def _examined(data: CheckedData, side: Side, columns: PreferenceColumns) -> Iterator[Finding]:
    found = _Preferences(side, columns)
    if data.preferences is not None:
        yield _refused(data, found.rows, columns, side.name)
    if found.incomplete:
        lack = many(len(found.incomplete), "preference lacks", "preferences lack")
        yield Finding(
            "incomplete_pairs",
            "warning",
            f"{lack} {'a good or a bad answer' if columns.verdict is None else 'an answer or a verdict'}",
            found.incomplete,
            why="such a row does not say which answer is better",
            remedy="fill in the answers, or remove these rows",
            side=side.name,
        )
    if columns.verdict is not None:
        yield from _verdicts(found)
        return
    yield from found.where(
        found.chosen == found.rejected, "equal_pairs", "with two equal answers", "such a pair teaches nothing", "remove"
    )
    why = "A is preferred to B, and B to A: what one teaches the other takes back"
    yield from found.where(found.opposed(), "opposed_pairs", "that contradict another", why, "keep one of")
    yield from _length_bias(found)


class _Preferences:
    """The preferences of a side as numbers.

    Attributes:
        side: The side.
        rows: Where they are.
        incomplete: Where rows are that lack an answer, or cannot be read.
        prompts: The hash of each prompt.
        chosen: The hash of each good answer, or of the answer that a verdict is on.
        rejected: The hash of each bad answer.
        longer: How many letters the good answer has more than the bad one.
        good: The verdicts.
    """

    def __init__(self, side: Side, columns: PreferenceColumns) -> None:
        self.side, self.rows, self.incomplete = side.name, Located(), Located()
        hashes, longer, good = [array("Q") for _ in range(3)], array("q"), array("b")
        for row in side.rows:
            found = columns.read(row.columns, row.origin)
            if found is None:
                self.incomplete.add(row.origin)
                continue
            self.rows.add(row.origin)
            for column, text in zip(hashes, (found.prompt, found.chosen, found.rejected), strict=True):
                column.append(text_hash(text))
            longer.append(len(found.chosen) - len(found.rejected))
            good.append(bool(found.is_good))
        self.prompts, self.chosen, self.rejected = (np.array(column, np.uint64) for column in hashes)
        self.longer: NDArray[np.int64] = np.array(longer, np.int64)
        self.good: NDArray[np.bool_] = np.array(good, bool)

    def opposed(self) -> NDArray[np.bool_]:
        """Return which pairs are there with their answers exchanged, too."""
        exchanged = _joined(self.prompts, self.rejected, self.chosen)
        there: NDArray[np.bool_] = np.isin(_joined(self.prompts, self.chosen, self.rejected), exchanged)
        there[self.chosen == self.rejected] = False
        return there

    def contradictory(self) -> NDArray[np.bool_]:
        """Return which answers have the other verdict, too."""
        keys = _joined(self.prompts, self.chosen)
        return np.isin(keys, keys[self.good]) & np.isin(keys, keys[~self.good])

    def where(self, chosen: NDArray[np.bool_], kind: str, what: str, why: str, remedy: str) -> Iterator[Finding]:
        """Yield a warning on the chosen ones, if there are any."""
        if chosen.any():
            rows = Located(self.rows[place] for place in np.flatnonzero(chosen).tolist())
            share = f"{len(rows) / len(self.rows):.1%} of the rows"
            title = f"{many(len(rows), 'preference')} {what}"
            yield Finding(kind, "warning", title, rows, f"{why} ({share})", f"{remedy} them", side=self.side)


def _joined(*parts: Hashes) -> Hashes:
    """One hash for each row of several columns, whose order counts (the multiplier is that of Knuth's generator)."""
    mixed = np.zeros_like(parts[0])
    for part in parts:
        mixed = (mixed + part) * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
    return mixed


def _refused(
    data: CheckedData, rows: Located, columns: PreferenceColumns | None = None, side: str = "train"
) -> Finding:
    """What is said of rows that are refused; without ``columns``, of those whose good answers are in no one column."""
    assert data.preferences is not None
    trains = data.mapping is not None
    form = "two answers, and which is better"
    if columns is not None:
        form = f"a verdict in {listed_names([columns.verdict])}" if columns.verdict else "a good and a bad answer"
    are = many(len(rows), "row is a preference", "rows are preferences")
    return Finding(
        "preferences",
        "error",
        f"{are} ({form}), and graft does not train on preferences yet",
        rows,
        why="bad answers would be trained on as if they were good, so graft finetune refuses the rows",
        remedy="train on the good answers only" if trains else data.preferences.remedy,
        fix=f"--column_mapping {NAME}" if trains else "",
        evidence=(data.preferences.what.partition(": ")[2].partition(", and graft")[0],),
        figures={name: getattr(columns, name) for name in ("chosen", "rejected", "verdict")} if columns else {},
        side=side,
    )


def _length_bias(found: _Preferences) -> Iterator[Finding]:
    """Yield a warning if good answers are longer more often than chance makes them (a sign test at 3 deviations)."""
    differing = found.longer[found.longer != 0]
    if len(differing) < FEWEST_PAIRS:
        return
    share = float((differing > 0).mean())
    if share > MOST_LONGER and (share - 0.5) * 2 * len(differing) ** 0.5 > 3:
        yield Finding(
            "length_bias",
            "warning",
            f"the good answer is the longer one in {share:.0%} of {len(differing):,} pairs",
            why="a model that learns from such pairs learns to write long; without a bias it is about half of them",
            remedy="add pairs whose good answer is the shorter one, or remove some of the others",
            figures={"share": round(share, 4), "pairs": len(differing), "median": int(np.median(differing))},
            side=found.side,
        )


def _verdicts(found: _Preferences) -> Iterator[Finding]:
    why = "the same answer to the same prompt is good and bad: what one row teaches the other takes back"
    yield from found.where(found.contradictory(), "opposed_verdicts", "that contradict another", why, "keep one of")
    good = int(found.good.sum())
    if len(found.good) and good in (0, len(found.good)):
        yield Finding(
            "one_verdict",
            "warning",
            f"all {len(found.good):,} answers are {'good' if good else 'bad'} ones",
            why="there is nothing to tell good answers from bad ones by",
            remedy="train on them without the verdict" if good else "add good answers",
            side=found.side,
        )


def _no_preferences(data: CheckedData, columns: Sequence[str], rows: Sequence[Row]) -> Iterator[Finding]:
    """Yield what looks like preferences, and is trained as all rows are."""
    read = {*data.mapping.columns, *data.mapping.optional} if data.mapping is not None else set()
    rated = [name for name in columns if name not in read and name in RATINGS and _are_numbers(name, rows)]
    if rated and read & set(ANSWERS):
        yield Finding(
            "ratings",
            "warning",
            f"{listed_names(rated)} may say how good the answers are, and all of them are trained alike",
            why="bad answers would be trained on as if they were good",
            remedy="keep the rows with good answers; or, if the column means something else, omit it",
            fix=f"--ignore_columns {','.join(rated)}",
        )
    rewarded = next((name for name in _REWARDED if name in read), None)
    if rewarded is not None and rows and all(_asks(row.columns.get("prompt")) for row in rows):
        yield Finding(
            "rewarded_answers",
            "note",
            f"the rows have the form of those for GRPO, and graft trains the model to write {rewarded}",
            why="no answers are sampled and rewarded: the model learns the answer alone, without reasoning before it",
        )


def _are_numbers(name: str, rows: Sequence[Row]) -> bool:
    values = [row.columns[name] for row in rows if not nothing(row.columns.get(name))]
    return len(set(map(str, values))) > 1 and all(isinstance(value, (int, float)) for value in values)


def _asks(value: Any) -> bool:
    last = value[-1] if isinstance(value, list) and holds_messages(value) else None
    return isinstance(last, dict) and last.get("role") == "user"
