"""A blind comparison: what each rater sees, and what becomes of a judgment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from graft.documents import shown
from graft.errors import InputError, Problems, did_you_mean
from graft.evaluation.human.items import assigned, first_is_left
from graft.evaluation.human.store import JudgmentStore
from graft.plain_text import escape_controls
from graft.runs.judgment_record import CHOICES, Choice, ItemRecord, JudgmentRecord, RatingRecord

LONGEST_COMMENT = 5_000


@dataclass(frozen=True)
class Rating:
    """What is judged by whom.

    Attributes:
        record: The models, the items and the criteria.
        store: The judgments.
        raters: Who judges.
        per_row: How many raters judge each item.
        seed: Seed of the order of the rows; which answer is on the left is by the record's.
        show_reference: Whether raters see the reference.
        items: What is judged now; ``record`` may have more, which were judged before.
    """

    record: RatingRecord
    store: JudgmentStore
    raters: Sequence[str]
    per_row: int
    seed: int
    show_reference: bool
    items: Sequence[ItemRecord]

    def __post_init__(self) -> None:
        queues = assigned(self.items, self.raters, self.per_row, self.seed)
        object.__setattr__(self, "_queues", queues)

    def queue(self, rater: str) -> list[ItemRecord]:
        """Return what a rater judges, in the rater's order."""
        queues: Mapping[str, list[ItemRecord]] = self._queues  # type: ignore[attr-defined]
        return queues[rater]

    def done(self, rater: str) -> int:
        """Return how many of them the rater has judged."""
        return sum(self.store.last(rater, item.item) is not None for item in self.queue(rater))

    @property
    def planned(self) -> int:
        """The number of judgments that are asked for, those that were made among them."""
        return sum(len(self.queue(rater)) for rater in self.raters)

    @property
    def made(self) -> int:
        """The number of them that were made."""
        return sum(self.done(rater) for rater in self.raters)

    def state(self, rater: str, place: int | None = None) -> dict[str, Any]:
        """Return what a rater's page shows: nothing in it tells which model wrote an answer.

        Args:
            rater: The rater.
            place: The number of a row in the rater's order, from 0; None for the first that is not judged.
        """
        queue = self.queue(rater)
        waiting = (n for n, item in enumerate(queue) if self.store.last(rater, item.item) is None)
        at = next(waiting, len(queue)) if place is None else max(0, min(place, len(queue)))
        found = {"rater": rater, "done": self.done(rater), "total": len(queue), "place": at, "item": None}
        return found if at == len(queue) else {**found, "item": self.shown(queue[at], rater)}

    def shown(self, item: ItemRecord, rater: str) -> dict[str, Any]:
        """Return an item as a rater sees it, with what the rater said before."""
        answers = [escape_controls(text) for text in item.answers]
        said = self.store.last(rater, item.item)
        return {
            "key": item.item,
            "prompt": escape_controls(item.prompt),
            "answers": answers if first_is_left(item, rater, self.record.seed) else answers[::-1],
            "reference": escape_controls(item.reference) if self.show_reference else None,
            "said": None
            if said is None
            else {"choice": said.choice, "criteria": said.criteria, "comment": said.comment},
        }

    def questions(self) -> list[dict[str, Any]]:
        """Return the criteria as the page asks them."""
        return [question.document() for question in self.record.criteria]

    def judgment(self, rater: str, given: Any, source: str) -> JudgmentRecord:
        """Check what a rater sent, and return it as a record.

        Args:
            rater: The rater.
            given: ``item``, ``choice``, and perhaps ``criteria``, ``comment`` and ``seconds``.
            source: ``page`` or ``sheet``.

        Raises:
            InputError: With everything that is wrong with it.
        """
        if not isinstance(given, dict):
            raise InputError(f"this is {shown(given)}; expected a judgment")
        item = next((item for item in self.queue(rater) if item.item == given.get("item")), None)
        if item is None:
            what = f"{shown(given.get('item'))} is nothing that {rater} was asked to judge"
            raise InputError(what, remedy="the answers have changed since, or the sheet is another rater's")
        problems = Problems()
        choice: Choice = given["choice"] if given.get("choice") in CHOICES else "tie"
        if given.get("choice") not in CHOICES:
            problems.add(f"choice is {shown(given.get('choice'))}; expected {', '.join(CHOICES)}")
        comment, seconds = given.get("comment", ""), given.get("seconds")
        if not isinstance(comment, str) or len(comment) > LONGEST_COMMENT:
            problems.add(f"comment is {shown(comment)}; expected a text of up to {LONGEST_COMMENT:,} characters")
        criteria: dict[str, list[int | None]] = {}
        with problems.collecting():
            criteria = self._grades(given.get("criteria") or {})
        problems.raise_if_any()
        is_time = isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds < 1e7
        sides = (item.first, item.second) if first_is_left(item, rater, self.record.seed) else (item.second, item.first)
        return JudgmentRecord(
            item=item.item,
            row=item.row,
            rater=rater,
            left=sides[0],
            right=sides[1],
            choice=choice,
            criteria=criteria,
            comment=comment.strip(),
            time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            seconds=round(float(seconds), 1) if is_time and seconds is not None else None,
            source=source,
        )

    def _grades(self, given: Any) -> dict[str, list[int | None]]:
        """The grades of both answers by criterion.

        Raises:
            InputError: If a criterion is unknown, or a grade is out of its scale.
        """
        problems, known = Problems(), {question.name: question for question in self.record.criteria}
        if not isinstance(given, dict):
            raise InputError(f"criteria are {shown(given)}; expected grades by criterion")
        found: dict[str, list[int | None]] = {}
        for name, grades in given.items():
            question = known.get(str(name))
            if question is None:
                problems.add(f"unknown criterion {shown(name)}", remedy=did_you_mean(str(name), known))
                continue
            scale = range(question.low, question.high + 1)
            fits = isinstance(grades, list) and len(grades) == 2
            if not fits or any(g is not None and (type(g) is not int or g not in scale) for g in grades):
                what = f"{name} is {shown(grades)}; expected two grades from {question.low} to {question.high}"
                problems.add(what)
            elif any(grade is not None for grade in grades):
                found[question.name] = list(grades)
        problems.raise_if_any()
        return found
