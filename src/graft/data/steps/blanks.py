"""Blanks around texts, and line ends."""

from __future__ import annotations

import re

from graft.config import DataSettings
from graft.data.columns import ColumnMapping
from graft.data.steps.base import Sides, StepContext
from graft.data.steps.texts import Rewrite, each_text

_VERBATIM = frozenset(("text", "text_template", "rendered text"))
"""Column mappings by which a model is trained on the very text of a column: there blanks are part of the template.

So it is with words that have tags.
"""
_LINE_END = re.compile(r"\r{1,8}\n")
_EMPTY_LINES = re.compile(r"\A(?:[^\S\n]*\n)+")


class Blanks:
    """Texts without blanks around them, and with line ends as ``\\n``."""

    name = "blanks"
    title = "trim texts and normalize line ends"
    safe = True

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the rows without such blanks.

        The indentation of the first line stays where further lines are indented, as in code; and where a model is
        trained on the very text of a column, only line ends change.

        Raises:
            InputError: If the columns are not recognized.
        """
        mapping = context.mapping(sides["train"])
        trim: Rewrite = _line_ends if _is_verbatim(mapping, context.settings) else _trimmed
        return each_text(sides, context, self.name, "blanks around it", lambda _: trim)


def _is_verbatim(mapping: ColumnMapping, settings: DataSettings) -> bool:
    return mapping.kind.endswith("tags") or mapping.kind in _VERBATIM or settings.text_template is not None


def _line_ends(text: str) -> str:
    return _LINE_END.sub("\n", text) if "\r" in text else text


def _trimmed(text: str) -> str:
    """The text without blanks and empty lines around it; an indented block keeps its first indentation."""
    text = _EMPTY_LINES.sub("", _line_ends(text)).rstrip()
    _, _, rest = text.partition("\n")
    is_block = any(line[:1] in {" ", "\t"} for line in rest.split("\n")) if text[:1] in {" ", "\t"} else False
    return text if is_block else text.lstrip()
