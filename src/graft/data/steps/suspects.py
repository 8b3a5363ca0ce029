"""Rows whose label is likely wrong, removed by score: only where that is shown to help."""

from __future__ import annotations

from graft.config import Settings, setting
from graft.data.class_rows import ClassRows
from graft.data.example import Origin
from graft.data.pipeline import find_labels
from graft.data.readers import Row
from graft.data.steps.base import Change, Sides, StepContext, each_row
from graft.data.suspects import best_gain, find_suspects, measure_gains
from graft.errors import InputError

_REVIEW = "graft doctor DATA -o OUT writes the worst for you to decide (review.jsonl)"


class DropSuspects:
    """Training rows with likely wrong labels are removed, as many as a cross-validated gain is shown for."""

    name = "suspects"
    title = "remove training rows with likely wrong labels, where that is shown to help"
    safe = False

    class Config(Settings):
        """Whether it is asked for."""

        drop_suspects: bool = setting(
            False, "remove training rows with likely wrong labels; refused unless cross-validation shows a gain"
        )

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the rows without the worst suspects.

        Raises:
            InputError: If the rows have no classes, or removing rows is not shown to help; with the figures.
        """
        train = sides["train"]
        if self.name in context.steps_before:
            context.reporter.note("suspects: this step already ran on these rows; nothing more was removed")
            return sides
        mapping, examples = context.mapping(train), context.examples(train)
        labels = None if mapping.names is not None else mapping.labels or find_labels(examples)
        rows = ClassRows.of(examples, context.seed) if labels is not None else None
        found = find_suspects(rows, context.seed) if rows is not None else None
        if rows is None or found is None:
            what = "suspects are found only among rows with classes that the words of the texts tell apart"
            raise InputError(what, where="--drop_suspects", remedy="omit it")
        gains = measure_gains(rows, context.seed)
        best = best_gain(gains)
        if not best.shown:
            figures = "; ".join(map(str, gains))
            what = f"removing rows by score is not shown to help: {figures}"
            raise InputError(what, where="--drop_suspects", remedy=f"omit it; {_REVIEW}")
        if rows.sampled:
            context.reporter.note(f"suspects: {len(rows.texts):,} of {rows.total:,} rows were examined")
        count = round(best.share * len(rows.texts))
        worst = dict(zip(found.places[:count].tolist(), range(count), strict=False))
        scores = {
            rows.origins[place]: (float(found.scores[number]), rows.names[found.suggestions[number]])
            for place, number in worst.items()
        }

        def change(row: Row, side: str) -> Row | None:
            suspect = scores.get(Origin(row.origin.file, row.origin.line)) if side == "train" else None
            if suspect is None:
                return row
            why = f"the label is likely wrong: {suspect[1]} is likelier by {suspect[0]:.2f}; {best}"
            context.log.add(Change(self.name, "dropped", row.origin, side, why))
            return None

        return each_row(sides, change)
