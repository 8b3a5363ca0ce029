"""Characters that nobody sees."""

from __future__ import annotations

from graft.data.steps.base import Sides, StepContext
from graft.data.steps.texts import each_text
from graft.data.unseen import without_unseen


class ControlCharacters:
    """Texts without control characters, and without invisible ones that no script needs at their place."""

    name = "control_characters"
    title = "remove control characters, and invisible characters that no script needs"
    safe = True

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the rows without them; tabs and line ends stay.

        Raises:
            InputError: If the columns are not recognized.
        """
        return each_text(sides, context, self.name, "it had characters that nobody sees", lambda _: _seen)


def _seen(text: str) -> str:
    return text if text.isprintable() else without_unseen(text)
