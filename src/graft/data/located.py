"""Many places in files, 8 bytes each."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import overload

from graft.data.example import MOST_PLACES, Origin, shown_places

_ROWS_A_FILE = 1 << 40


class Located(Sequence[Origin]):
    """The places of rows, in the order in which they were added."""

    def __init__(self, origins: Iterable[Origin] = ()) -> None:
        self._files: dict[str, int] = {}
        self._names: list[str] = []
        self._codes = array("Q")
        for origin in origins:
            self.add(origin)

    def add(self, origin: Origin) -> None:
        """Add the place of a row."""
        number = self._files.setdefault(origin.file, len(self._files))
        if number == len(self._names):
            self._names.append(origin.file)
        self._codes.append(number * _ROWS_A_FILE + origin.line)

    def __len__(self) -> int:
        return len(self._codes)

    def __iter__(self) -> Iterator[Origin]:
        return map(self._origin, self._codes)

    @overload
    def __getitem__(self, index: int) -> Origin: ...
    @overload
    def __getitem__(self, index: slice) -> list[Origin]: ...
    def __getitem__(self, index: int | slice) -> Origin | list[Origin]:
        if isinstance(index, slice):
            return [self._origin(code) for code in self._codes[index]]
        return self._origin(self._codes[index])

    @property
    def files(self) -> Sequence[str]:
        """The files that the rows are in."""
        return self._names

    def by_name(self, names: Mapping[str, str]) -> Located:
        """Return the same places with other names of their files.

        Args:
            names: The name of a file -> another one; others stay.
        """
        found = Located()
        found._names = [names.get(name, name) for name in self._names]
        found._files = {name: number for number, name in enumerate(found._names)}
        found._codes = self._codes[:]
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Located) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self._codes))

    def __str__(self) -> str:
        return shown_places(self[:MOST_PLACES], len(self))

    def _origin(self, code: int) -> Origin:
        number, line = divmod(code, _ROWS_A_FILE)
        return Origin(self._names[number], line)
