"""What a person decided in review.jsonl."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

from graft.config import Settings, setting
from graft.data.classes import folded_label
from graft.data.example import Origin
from graft.data.label_column import LabelColumn
from graft.data.located import Located
from graft.data.readers import Row
from graft.data.review import Reviewed, by_row, read_review, row_text, with_labels
from graft.data.steps.base import Change, Sides, StepContext, each_row
from graft.data.steps.labels import label_column_of, relabeled, written_values
from graft.errors import InputError, Problems


class Review:
    """Rows that are dropped, or get another label, as a review says."""

    name = "review"
    title = "apply the decisions of a review file"
    safe = False

    class Config(Settings):
        """The review."""

        review: Path | None = setting(None, "review.jsonl of graft doctor, with your decisions: keep, relabel, drop")

    def check(self, config: Config) -> None:
        """Check that the file can be read; what is wrong with its lines is said with what is wrong with their rows.

        Raises:
            InputError: If none is given, or it cannot be read.
        """
        if config.review is None:
            raise InputError("the step review needs a file", remedy="--review review.jsonl, which graft doctor writes")
        read_review(config.review, Problems())

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the rows as the review says.

        Raises:
            InputError: If the review is damaged, names labels that there are not, or is of other rows; with all faults.
        """
        path, problems = context.config.review, Problems()
        column = label_column_of(sides, context)
        if column is None:
            raise InputError("these rows have no labels to review", where=str(path))
        written = written_values(column, chain.from_iterable(sides.values()))
        names = {folded: label for folded, (label, _) in written.items()}
        listed = with_labels(read_review(path, problems), names, problems)
        mapping = context.mapping(sides["train"])
        read = frozenset((*mapping.columns, *mapping.optional))
        rows = chain.from_iterable(sides.values())
        found = ((row.origin, row_text(row, column, read), _label(row, column)) for row in rows)
        decided = by_row(listed, found, names, problems)
        problems.found.sort(key=lambda problem: int(problem.where.rpartition(":")[2]))
        problems.raise_if_any()
        there = {line.where for line in decided.values()}
        missing = Located(_place(line.where) for line in listed if line.where not in there)
        if missing:
            said = f"{len(missing):,} of {len(listed):,} lines of the review are about rows that are not in the data"
            context.reporter.note(f"{missing}: {said}")

        def change(row: Row, side: str) -> Row | None:
            found = decided.get(Origin(row.origin.file, row.origin.line))
            if found is None or found.action == "keep":
                return row
            if found.action == "drop":
                context.log.add(Change(self.name, "dropped", row.origin, side, _why(found)))
                return None
            given = _label(row, column)
            if folded_label(given) == folded_label(found.new_label):
                return row
            columns = relabeled(column, row.columns, found.new_label, written)
            change = Change(self.name, "changed", row.origin, side, _why(found), column.name, given, found.new_label)
            context.log.add(change)
            return replace(row, columns=columns)

        return each_row(sides, change)


def _place(where: str) -> Origin:
    file, _, line = where.rpartition(":")
    return Origin(file, int(line))


def _label(row: Row, column: LabelColumn) -> str:
    return next(iter(column.labels(row.columns)), "")


def _why(found: Reviewed) -> str:
    return f"{Path(found.where).name} says {found.action}"
