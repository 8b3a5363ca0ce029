"""Holding rows out: the same mix of classes on both sides, no text on two."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from graft.data.example import AnswerExample, Example, Origin, TaggedExample
from graft.data.quality import prompt_key
from graft.errors import InputError, Problems, shorten

FEWEST_ROWS = 4


def usual_share(rows: int) -> float:
    """20 % up to 500 rows, 10 % from 2,000 on, and in between what lies between."""
    return min(0.2, max(0.1, 0.2 - 0.1 * (rows - 500) / 1500))


def check_learnable(examples: Sequence[Example], labels: Sequence[str] | None, whole: bool) -> None:
    """Whether there is something to learn, and enough to hold some out (``whole``: nothing is held out yet).

    Raises:
        InputError: for too few rows, for answers that are all alike, and for a class with a single row.
    """
    problems = Problems()
    remedy = "add rows, or give the rows to hold out by --eval_data_files"
    if len(examples) < FEWEST_ROWS:
        count = "is only 1 row" if len(examples) == 1 else f"are only {len(examples)} rows"
        problems.add(f"there {count}; {FEWEST_ROWS} are the least, a few hundred are usual", _place(examples), remedy)
    answers = {example.reference for example in examples}
    are_answers = not any(isinstance(example, TaggedExample) or _is_message(example) for example in examples)
    if len(examples) > 1 and len(answers) == 1 and are_answers:
        shown = next(iter(answers))[:60]
        problems.add(f"every answer is {shown!r}: there is nothing to learn", _place(examples), "add other answers")
    elif labels and whole:
        counts = Counter(example.reference for example in examples)
        for example in examples:
            if counts[example.reference] == 1:
                what = f"the label {example.reference!r} occurs once, so it cannot be on both sides"
                problems.add(what, str(example.origin), remedy)
        shorten(problems, "labels like these")
    problems.raise_if_any()


def _is_message(example: Example) -> bool:
    return isinstance(example, AnswerExample) and example.answer is not None


def _place(examples: Sequence[Example]) -> str:
    return examples[0].origin.file if examples else ""


def hold_out(
    examples: Sequence[Example], share: float | None, seed: int, labels: Sequence[str] | None = None
) -> tuple[list[Example], list[Example]]:
    """Rows to train on and rows to hold out, both in their first order, decided by the seed.

    Rows with the same prompt stay together, and so do the turns of a conversation. With ``labels`` each class gives
    its share, at least one row, and keeps at least one.

    Raises:
        InputError: when nothing would be left on one side.
    """
    wanted = usual_share(len(examples)) if share is None else share
    strata: dict[str, list[list[int]]] = defaultdict(list)
    groups = _inseparable(examples)
    if max(map(len, groups), default=0) > len(examples) / 2:  # as where every conversation begins with "Hello"
        groups = _inseparable(examples, whole_only=True)
    for members in groups:
        strata[examples[members[0]].reference if labels else ""].append(members)
    chance = random.Random(seed)
    held: set[int] = set()
    for name in sorted(strata):
        stratum = strata[name]
        chance.shuffle(stratum)
        left = sum(len(members) for members in stratum)
        goal = max(1, round(wanted * left))
        for members in stratum:
            if goal <= 0 or len(held) + len(members) >= len(examples) or (len(strata) > 1 and left == len(members)):
                break
            if len(members) > goal and len(stratum) > 1 and members is not stratum[-1]:
                continue
            held.update(members)
            goal -= len(members)
            left -= len(members)
    train = [example for index, example in enumerate(examples) if index not in held]
    evaluation = [example for index, example in enumerate(examples) if index in held]
    if not train or not evaluation:
        raise InputError("the rows all have the same prompt, so none can be held out", where=_place(examples))
    return train, evaluation


def sample(
    examples: Sequence[Example], count: int, seed: int, labels: Sequence[str] | None = None
) -> tuple[list[Example], int]:
    """The examples of ``count`` rows, drawn by the seed and in their first order, and how many rows there were.

    With ``labels`` each class gives its share, and two rows at least, so that it can be on both sides.
    """
    rows: dict[Origin, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        rows[example.origin].append(index)
    strata: dict[str, list[list[int]]] = defaultdict(list)
    for members in rows.values():
        strata[examples[members[0]].reference if labels else ""].append(members)
    if count >= len(rows):
        return list(examples), len(rows)
    chance = random.Random(seed)
    kept: set[int] = set()
    for name, share in _shares({name: len(strata[name]) for name in sorted(strata)}, count).items():
        for members in chance.sample(strata[name], share):
            kept.update(members)
    return [example for index, example in enumerate(examples) if index in kept], len(rows)


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


def _inseparable(examples: Sequence[Example], whole_only: bool = False) -> list[list[int]]:
    """Places of examples that must be on one side: of one row, of one prompt, and whatever these have in common.

    ``whole_only``: of a conversation's turns only the last is compared with other rows, which has all of it before it.
    """
    last = {example.origin: index for index, example in enumerate(examples)}
    leader = list(range(len(examples)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = index = leader[leader[index]]
        return index

    first: dict[object, int] = {}
    for index, example in enumerate(examples):
        compared = last[example.origin] == index or not whole_only
        for key in (example.origin, prompt_key(example))[: 1 + compared]:
            leader[find(index)] = find(first.setdefault(key, index))
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(examples)):
        groups[find(index)].append(index)
    return list(groups.values())
