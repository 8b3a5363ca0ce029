"""Text that was decoded with a wrong encoding."""

from __future__ import annotations

from graft.data.mojibake import repaired
from graft.data.steps.base import Sides, StepContext
from graft.data.steps.texts import each_text


class Encoding:
    """``café`` in place of ``cafÃ©``; nothing else of a text changes."""

    name = "encoding"
    title = "repair text that was decoded with a wrong encoding"
    safe = True

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the rows with such text repaired.

        Raises:
            InputError: If the columns are not recognized.
        """
        return each_text(sides, context, self.name, "it was decoded with a wrong encoding", lambda _: repaired)
