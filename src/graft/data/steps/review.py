"""What a person decided in review.jsonl."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

from graft.config import Settings, setting
from graft.data.classes import folded_label
from graft.data.example import Origin
from graft.data.readers import Row
from graft.data.review import Reviewed, by_row, read_review, row_text
from graft.data.steps.base import Change, Sides, StepContext, each_row
from graft.data.steps.labels import label_column_of, relabeled, written_values
from graft.errors import InputError


class Review:
    """Rows that are dropped, or get another label, as a review says."""

    name = "review"
    title = "apply the decisions of a review file"
    safe = False

    class Config(Settings):
        """The review."""

        review: Path | None = setting(None, "review.jsonl of graft doctor, with your decisions: keep, relabel, drop")

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the rows as the review says.

        Raises:
            InputError: If the review is damaged, or the rows are others than those that were reviewed.
        """
        path = context.config.review
        if path is None:
            raise InputError("the step review needs a file", remedy="--review review.jsonl, which graft doctor writes")
        column = label_column_of(sides, context)
        if column is None:
            raise InputError("these rows have no labels to review", where=str(path))
        written = written_values(column, chain.from_iterable(sides.values()))
        listed = read_review(path, sorted(label for label, _ in written.values()))
        mapping = context.mapping(sides["train"])
        read = frozenset((*mapping.columns, *mapping.optional))
        rows = chain.from_iterable(sides.values())
        decided = by_row(listed, ((row.origin, row_text(row, column, read)) for row in rows))

        def change(row: Row, side: str) -> Row | None:
            found = decided.get(Origin(row.origin.file, row.origin.line))
            if found is None or found.action == "keep":
                return row
            if found.action == "drop":
                context.log.add(Change(self.name, "dropped", row.origin, side, _why(found)))
                return None
            (given,) = column.labels(row.columns)[:1] or ("",)
            if folded_label(given) == folded_label(found.new_label):
                return row
            columns = relabeled(column, row.columns, found.new_label, written)
            change = Change(self.name, "changed", row.origin, side, _why(found), column.name, given, found.new_label)
            context.log.add(change)
            return replace(row, columns=columns)

        return each_row(sides, change)


def _why(found: Reviewed) -> str:
    return f"{Path(found.where).name} says {found.action}"
