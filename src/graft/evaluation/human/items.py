"""What is judged: rows drawn, a pair of models for each, and who judges it with which answer on the left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from graft.runs.judgment_record import ItemRecord


@dataclass(frozen=True)
class AnsweredRow:
    """A row with the answers of all models that are compared, by their names."""

    row: str
    prompt: str
    reference: str
    answers: Mapping[str, str]


def item_key(prompt: str, answers: Mapping[str, str]) -> str:
    """Return the name of what is judged: the same prompt, models and answers, the same name."""
    text = json.dumps([prompt, sorted(answers.items())], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def draw(*parts: object) -> int:
    """Return a number that follows from ``parts`` alone, evenly distributed over 64 bits."""
    return int.from_bytes(hashlib.sha256(json.dumps(parts, default=str).encode()).digest()[:8], "big")


def choose_items(
    rows: Sequence[AnsweredRow], models: Sequence[str], count: int, seed: int
) -> tuple[list[ItemRecord], int]:
    """Choose what is judged.

    Each row is judged for one pair of models, so that rows are independent; all pairs get the same number of rows,
    within one. A larger ``count`` keeps the items of a smaller one. Rows whose answers are the same are left out.

    Args:
        rows: The rows.
        models: The models.
        count: The number of rows.
        seed: Seed of the order in which rows are drawn.

    Returns:
        The items, and the number of rows that were left out because all their answers are the same.
    """
    pairs = list(combinations(models, 2))
    used = dict.fromkeys(pairs, 0)
    found: dict[str, ItemRecord] = {}
    same = 0
    for row in sorted(rows, key=lambda row: draw(seed, "row", row.row, row.prompt)):
        different = [pair for pair in pairs if row.answers[pair[0]].strip() != row.answers[pair[1]].strip()]
        same += not different
        if not different or len(found) == count:
            continue
        first, second = min(different, key=lambda pair: used[pair])
        answers = {first: row.answers[first], second: row.answers[second]}
        key = item_key(row.prompt, answers)
        if key not in found:  # a row that is there twice
            used[first, second] += 1
            found[key] = ItemRecord(
                item=key,
                row=row.row,
                prompt=row.prompt,
                reference=row.reference,
                first=first,
                second=second,
                answers=list(answers.values()),
            )
    return list(found.values()), same


def assigned(
    items: Sequence[ItemRecord], raters: Sequence[str], per_row: int, seed: int
) -> dict[str, list[ItemRecord]]:
    """Return what each rater judges, in an order of the rater's own; the numbers differ by one at most.

    Args:
        items: What is judged.
        raters: Who judges.
        per_row: How many raters judge each item.
        seed: Seed of the orders.
    """
    found: dict[str, list[ItemRecord]] = {rater: [] for rater in raters}
    for number, item in enumerate(items):
        for place in range(min(per_row, len(raters))):
            found[raters[(number * per_row + place) % len(raters)]].append(item)
    return {
        rater: sorted(own, key=lambda item, rater=rater: draw(seed, "order", rater, item.item))  # type: ignore[misc]
        for rater, own in found.items()
    }


def first_is_left(item: ItemRecord, rater: str, seed: int) -> bool:
    """Whether the answer of the item's first model stands on the left for this rater."""
    return draw(seed, "side", rater, item.item) % 2 == 0
