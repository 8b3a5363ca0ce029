"""HTML that was left in text."""

from __future__ import annotations

from graft.data.checks.view import texts_of
from graft.data.markup import is_about_markup, leftover, without_markup
from graft.data.mojibake import repaired
from graft.data.readers import Row
from graft.data.steps.base import Sides, StepContext
from graft.data.steps.texts import Rewrite, each_text, is_data
from graft.data.unseen import without_unseen


class Html:
    """Texts without tags, with entities as characters; not in rows that are code or about HTML."""

    name = "html"
    title = "remove HTML tags and decode entities, except in code and in texts about HTML"

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the rows with plain text.

        Raises:
            InputError: If the columns are not recognized, or labels would become one without their tags.
        """
        mapping = context.mapping(sides["train"])
        read = frozenset((*mapping.columns, *mapping.optional))

        def rewrite(row: Row) -> Rewrite | None:
            texts = [text for _, text in texts_of(row, read)]
            return None if is_about_markup(texts) else _plain

        return each_text(sides, context, self.name, "it had HTML", rewrite, keep_labels_apart=True)


def _plain(text: str) -> str:
    """The text without markup, without the blanks that blocks leave around it, and without what entities hid."""
    if leftover(text) is None or is_data(text):
        return text
    return without_unseen(repaired(without_markup(text))).strip()
