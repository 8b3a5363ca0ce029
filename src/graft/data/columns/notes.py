"""What is worth a line in the plan, counted while rows are converted: above all what isn't read."""

from __future__ import annotations

from collections.abc import Iterable

from graft.data.columns.names import KNOWN
from graft.data.example import Origin
from graft.data.inferred import InferredSetting
from graft.errors import Problems

MOST_NAMED = 20


class Notes:
    """Counts by row; ``lines`` says them."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._first: dict[tuple[str, str], Origin] = {}

    def count(self, name: str, why: str, origin: Origin, number: int = 1) -> None:
        """Count something that is said as ``name = number: why``, with the first row that it is of."""
        if number:
            self._counts[name, why] = self._counts.get((name, why), 0) + number
            self._first.setdefault((name, why), origin)

    def unread(self, columns: Iterable[str], origin: Origin) -> None:
        """Count columns that have a value and aren't read."""
        for name in columns:
            self.count(_COLUMNS, name, origin)

    def unread_keys(self, names: Iterable[str], origin: Origin) -> None:
        """Count keys of messages that have a value and aren't read."""
        for name in names:
            self.count(_KEYS, name, origin)

    def lost(self, kind: str, problems: Problems) -> None:
        """Add a problem for each column that isn't read although its name says that the model is to read it.

        Args:
            kind: What the rows were recognized as.
            problems: Takes them.
        """
        for (what, name), count in self._counts.items():
            if what == _COLUMNS and name.strip().casefold() in KNOWN:
                rows = "1 row has it" if count == 1 else f"{count:,} rows have it"
                problems.add(
                    f"the column {name!r} would be lost: rows of the form {kind} are read without it ({rows})",
                    str(self._first[what, name]),
                    f"--ignore_columns {name} if it isn't to be read; else name the columns with --prompt_template and "
                    "--completion_template",
                )

    def lines(self) -> list[InferredSetting]:
        """Return what was counted: what isn't read first."""
        said = [
            InferredSetting(what, names, why)
            for what, why in (
                (_COLUMNS, "neither prompts nor answers come from them"),
                (_KEYS, "they are part of messages, and chat templates don't take them"),
            )
            if (names := self._names(what))
        ]
        others = ((name, why, count) for (name, why), count in self._counts.items() if name not in (_COLUMNS, _KEYS))
        return said + [
            InferredSetting(name, count, f"{why}, the first at {self._first[name, why]}") for name, why, count in others
        ]

    def _names(self, what: str) -> list[str]:
        names = sorted(name for kind, name in self._counts if kind == what)
        more = len(names) - MOST_NAMED
        return [*names[:MOST_NAMED], f"and {more} more"] if more > 0 else names


_COLUMNS, _KEYS = "columns_not_read", "message_keys_not_read"
