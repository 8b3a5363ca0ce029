"""Held-out split and sampling of rows, determined by the seed."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.data.components import Components
from graft.data.example import AnswerExample, Example, TaggedExample
from graft.data.example_set import ExampleSet, Hashes, Places, first_places, source_key, text_hash
from graft.data.near import near_clusters
from graft.errors import InputError, Problems, shorten

FEWEST_ROWS = 4
MOST_TWINS = 0.1
"""Groups with a larger share of the rows are not made by near twins: what these have in common is a template."""
FEW_TWINS = 8
"""Groups of so many rows are, however few rows there are."""


def usual_share(rows: int) -> float:
    """Return the share to hold out: 20 % up to 500 rows, 10 % from 2,000 on, and linear in between."""
    return min(0.2, max(0.1, 0.2 - 0.1 * (rows - 500) / 1500))


def check_learnable(examples: ExampleSet, labels: Sequence[str] | None, whole: bool) -> None:
    """Check that there is something to learn, and enough rows to hold some out (``whole``: none are held out yet).

    Raises:
        InputError: For too few rows, for answers that are all the same, and for a class with a single row.
    """
    problems = Problems()
    remedy = "add rows, or give held-out rows with --eval_data_files"
    if len(examples) < FEWEST_ROWS:
        count = "only 1 row" if len(examples) == 1 else f"only {len(examples)} rows"
        problems.add(f"{count}: at least {FEWEST_ROWS} are needed, a few hundred are typical", _file(examples), remedy)
    if has_one_answer(examples):
        shown = examples[0].reference[:60]
        problems.add(
            f"every answer is {shown!r}, so there is nothing to learn", _file(examples), "add rows with other answers"
        )
    elif labels and whole:
        counts = Counter(examples.references.tolist())
        for place in np.flatnonzero([counts[key] == 1 for key in examples.references.tolist()]).tolist():
            what = f"the label {examples[place].reference!r} occurs once, so it cannot be both trained on and held out"
            problems.add(what, str(examples[place].origin), remedy)
        shorten(problems, "labels like these")
    problems.raise_if_any()


def has_one_answer(examples: ExampleSet) -> bool:
    """Return whether all of several answers, or classes, are the same: then there is nothing to learn."""
    alike = len(examples) > 1 and bool((examples.references == examples.references[0]).all())
    return alike and all(_is_answer(example) for example in examples)


def _is_answer(example: Example) -> bool:
    """Whether the reference is all that is learned, and not one of many."""
    message = isinstance(example, AnswerExample) and example.answer is not None
    return not message and not isinstance(example, TaggedExample)


def _file(examples: ExampleSet) -> str:
    return examples[0].origin.file if len(examples) else ""


class Split(NamedTuple):
    """Examples to train on, and examples to hold out.

    Attributes:
        train: What is trained on.
        held_out: What is held out; no row in it was added by a program.
    """

    train: ExampleSet
    held_out: ExampleSet


def hold_out(
    examples: ExampleSet,
    share: float | None,
    seed: int,
    labels: Sequence[str] | None = None,
    together: Hashes | None = None,
) -> Split:
    """Choose the rows to hold out; both sides keep the order of the rows.

    Rows with the same prompt stay together, and so do the turns of a conversation. Letter case and blanks don't count,
    unless prompts differ in nothing else. Near twins (``graft.data.near``) stay together, too, unless so many are near
    each other that they must have a template in common. With ``labels`` each class gives its share, at least one row,
    and keeps at least one. Rows that a program added are not held out; those that were made from held-out rows are on
    neither side. Examples with equal hashes in ``together`` stay on one side, but for the hash 0.

    Raises:
        InputError: When nothing would be left on one side.
    """
    was_added = examples.sources != 0
    wanted = usual_share(int(np.count_nonzero(~was_added))) if share is None else share
    groups = groups_of(examples, together)
    sizes = np.bincount(groups.leaders[~was_added], minlength=len(examples))
    held = _drawn(_strata(examples, Groups(groups.leaders, sizes), labels), sizes, wanted, seed)
    is_held = held[groups.leaders]
    split = Split(examples.take(~is_held), examples.take(is_held & ~was_added))
    if len(split.train) and len(split.held_out):
        return split
    what = "all rows have the same prompt, so none can be held out"
    if len(examples) and was_added.all():
        what = "a program added all rows, so none can be held out"
    raise InputError(what, where=_file(examples), remedy="give held-out rows with --eval_data_files")


def groups_of(examples: ExampleSet, together: Hashes | None = None) -> Groups:
    """Return the examples that must be on one side, as ``hold_out`` says."""
    groups = _groups(examples)
    if together is None:
        return groups
    of_value = np.where(together == 0, np.arange(len(together)), first_places(together))
    return _grouped(_united(groups.leaders, of_value))


def _groups(examples: ExampleSet) -> Groups:
    alike = len(examples) > 0 and bool((examples.prompts == examples.prompts[0]).all())
    prompts = examples.inputs if alike else examples.prompts
    groups = _inseparable(examples, prompts)
    if groups.sizes.max(initial=0) > len(examples) / 2:  # as where every conversation begins with "Hello"
        groups = _inseparable(examples, prompts, whole_only=True)
    return groups if alike else _with_twins(examples, groups)


def _with_twins(examples: ExampleSet, groups: Groups) -> Groups:
    """The groups with their near twins; those that would become a large part of all rows stay as they are."""
    near = near_clusters(examples).leaders
    together = _united(groups.leaders, near)
    most = min(len(examples) // 2, max(FEW_TWINS, int(MOST_TWINS * len(examples))))
    is_large = np.bincount(together, minlength=len(examples))[together] > most
    return _grouped(_united(groups.leaders, np.where(is_large, np.arange(len(examples)), near)))


class Groups(NamedTuple):
    """Examples that must be on one side.

    Attributes:
        leaders: For each example the place of the first one of its group.
        sizes: The number of examples in the group that each place leads; 0 where it leads none.
    """

    leaders: Places
    sizes: Places


def _strata(examples: ExampleSet, groups: Groups, labels: Sequence[str] | None) -> list[list[int]]:
    """The leaders of the groups: all of them, or those of each class, in the order of their names."""
    leaders = np.flatnonzero(groups.sizes).tolist()
    if not labels:
        return [leaders]
    named: dict[str, list[int]] = defaultdict(list)
    references = examples.take(np.array(leaders, np.int64))
    for leader, example in zip(leaders, references, strict=True):
        named[example.reference].append(leader)
    return [named[name] for name in sorted(named)]


def _drawn(strata: list[list[int]], sizes: Places, share: float, seed: int) -> NDArray[np.bool_]:
    """Whether the group that each place leads is held out: of every stratum its share."""
    chance = random.Random(seed)
    held = np.zeros(len(sizes), bool)
    count = 0
    for stratum in strata:
        chance.shuffle(stratum)
        left = int(sizes[stratum].sum())
        goal = max(1, round(share * left))
        for leader in stratum:
            size = int(sizes[leader])
            if goal <= 0 or count + size >= len(sizes) or (len(strata) > 1 and left == size):
                break
            if size > goal and len(stratum) > 1 and leader != stratum[-1]:
                continue
            held[leader] = True
            count, goal, left = count + size, goal - size, left - size
    return held


class Sample(NamedTuple):
    """The examples that were drawn, and the number of rows that they were drawn of."""

    examples: ExampleSet
    rows: int


def sample(examples: ExampleSet, count: int, seed: int, labels: Sequence[str] | None = None) -> Sample:
    """Draw the examples of ``count`` rows, in their first order.

    With ``labels`` each class gives its share, and two rows at least, so that it can be on both sides.
    """
    leaders = first_places(examples.origins)
    sizes = np.bincount(leaders, minlength=len(examples))
    rows = int(np.count_nonzero(sizes))
    if count >= rows:
        return Sample(examples, rows)
    strata = _strata(examples, Groups(leaders, sizes), labels)
    chance = random.Random(seed)
    kept = np.zeros(len(examples), bool)
    shares = _shares({str(number): len(stratum) for number, stratum in enumerate(strata)}, count)
    for stratum, share in zip(strata, shares.values(), strict=True):
        kept[chance.sample(stratum, share)] = True
    return Sample(examples.take(kept[leaders]), rows)


def _shares(counts: dict[str, int], wanted: int) -> dict[str, int]:
    """``wanted`` in proportion to ``counts`` by the largest remainders, of each two at least as far as they go."""
    total = sum(counts.values())
    exact = {name: wanted * count / total for name, count in counts.items()}
    found = {name: min(counts[name], max(2, int(share))) for name, share in exact.items()}
    while (difference := wanted - sum(found.values())) != 0:
        step = 1 if difference > 0 else -1
        free = [name for name in found if (found[name] < counts[name] if step > 0 else found[name] > 2)]
        if not free:  # more classes than rows are wanted of
            free = [name for name in found if found[name] > 0]
        name = max(free, key=lambda name: step * (exact[name] - found[name]))
        found[name] += step
    return found


def _inseparable(examples: ExampleSet, prompts: Hashes, whole_only: bool = False) -> Groups:
    """Group the examples of one row, of one of ``prompts``, and whatever these have in common.

    ``whole_only``: of a conversation's turns only the last is compared with other rows, which has all of it before it.
    """
    places = np.arange(len(examples))
    of_row = first_places(examples.origins)
    compared = places
    if whole_only:
        last = np.zeros(len(examples), np.int64)
        last[of_row] = places  # the last assignment holds
        compared = np.flatnonzero(last[of_row] == places)
    of_prompt = places.copy()
    of_prompt[compared] = compared[first_places(prompts[compared])]
    return _grouped(_united(of_row, of_prompt, _sources(examples)))


def _sources(examples: ExampleSet) -> Places:
    """For each example its own place; for an added one that of what it was made from, or else of the first so made."""
    places = np.arange(len(examples))
    added = np.flatnonzero(examples.sources > 1)
    if not len(added):
        return places
    first_added = added[first_places(examples.sources[added])]
    made = {int(examples.sources[place]) for place in added.tolist()}
    known = (
        (text_hash(source_key(example)), place) for place, example in enumerate(examples) if not example.origin.added
    )
    originals = {key: place for key, place in known if key in made}
    places[added] = [originals.get(int(examples.sources[first]), int(first)) for first in first_added.tolist()]
    return places


def _united(*firsts: Places) -> Places:
    """For each place the first that it is connected with, by the places in each of ``firsts``."""
    components = Components(len(firsts[0]))
    for first in firsts:
        components.unite_all(first)
    return components.leaders()


def _grouped(leaders: Places) -> Groups:
    return Groups(leaders, np.bincount(leaders, minlength=len(leaders)))
