"""Personal data and secrets."""

from __future__ import annotations

from graft.data.personal import find, masked
from graft.data.steps.base import Sides, StepContext
from graft.data.steps.texts import each_text


class Privacy:
    """``[e-mail]``, ``[phone]``, and so on (``graft.data.personal.KINDS``) in place of what they name."""

    name = "privacy"
    title = "mask personal data and secrets"

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the rows with masks; the log says which kinds were masked, and has none of what they hide.

        Raises:
            InputError: If the columns are not recognized, or labels would become one behind a mask.
        """
        return each_text(sides, context, self.name, _why, lambda _: masked, keep_labels_apart=True)


def _why(before: str) -> str:
    return f"it had personal data: {', '.join(dict.fromkeys(found.kind for found in find(before)))}"
