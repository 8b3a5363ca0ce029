"""The protocol of a reader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from graft.data.example import Origin
from graft.errors import Problems


@dataclass(frozen=True)
class Row:
    """The values of a row by the names of its columns, and where it came from.

    ``split`` is the row's split, in files that have several.
    """

    columns: dict[str, Any]
    origin: Origin
    split: str | None = None


class Reader(Protocol):
    """Reads the files of one format.

    Attributes:
        name: The format, as the registry names it.
        endings: How the names of such files end, in lower case with the dot: ``(".jsonl", ".ndjson")``.
    """

    name: str
    endings: tuple[str, ...]

    def read(self, path: Path, problems: Problems) -> Iterator[Row]:
        """Yield the rows in the order of the file, best without holding all of them in memory.

        Args:
            path: The file, which is not empty.
            problems: Takes what is wrong with single rows, each with ``path:line``; reading goes on behind them.

        Raises:
            InputError: When the file as a whole cannot be read.
        """
        ...
