"""Personal data and secrets."""

from __future__ import annotations

from graft.data.personal import masked
from graft.data.readers import Row
from graft.data.steps.base import Sides, StepContext
from graft.data.steps.texts import Rewrite, each_text


class Privacy:
    """``[e-mail]``, ``[phone]``, and so on (``graft.data.personal.KINDS``) in place of what they name."""

    name = "privacy"
    title = "mask personal data and secrets"

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the rows with masks; the log has none of what they hide.

        Raises:
            InputError: If the columns are not recognized.
        """

        def rewrite(row: Row) -> Rewrite:
            return masked

        return each_text(sides, context, self.name, "it had personal data", rewrite)
