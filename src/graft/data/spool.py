"""Sequences that do not fit in memory: kept in a temporary file, read back in parts."""

from __future__ import annotations

import pickle
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, Generic, TypeVar, overload

from graft.files import cannot_write

T = TypeVar("T")
ITEMS_A_PART = 256
BYTES_IN_MEMORY = 1 << 24
"""Longer spools are in a file, which has no name and goes away with the spool."""


class Spool(Sequence[T]):
    """A sequence that is written item by item and then read in any order, best in its own.

    Items are pickled in parts of 256, which are read one at a time: an item is a new object each time it is read.
    Memory: 8 bytes a part, one part, and at most 16 MB of a short spool.
    """

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=BYTES_IN_MEMORY)  # noqa: SIM115
        weakref.finalize(self, _close, self._file)
        self._places: list[int] = [0]
        self._pending: list[T] = []
        self._part: tuple[int, list[T]] = (-1, [])
        self.extend(items)

    def append(self, item: T) -> None:
        """Add an item at the end.

        Raises:
            GraftError: If the temporary file cannot be written.
        """
        self._pending.append(item)
        if len(self._pending) == ITEMS_A_PART:
            self._places.append(self._places[-1] + self._written(pickle.dumps(self._pending, protocol=5)))
            self._pending = []

    def _written(self, part: bytes) -> int:
        try:
            self._file.seek(self._places[-1])
            self._file.write(part)
            self._file.flush()  # what is buffered would fail later, where it is read
        except OSError as error:
            folder = Path(tempfile.gettempdir())
            raise cannot_write(
                folder / "the rows", error, "free some space there, or set TMPDIR to a folder on another disk"
            ) from error
        return len(part)

    def extend(self, items: Iterable[T]) -> None:
        """Add items at the end."""
        for item in items:
            self.append(item)

    @property
    def item_bytes(self) -> int:
        """The average size of an item as it is stored; 0 where none is."""
        return self._places[-1] // max(1, ITEMS_A_PART * (len(self._places) - 1))

    def __len__(self) -> int:
        return ITEMS_A_PART * (len(self._places) - 1) + len(self._pending)

    def __iter__(self) -> Iterator[T]:
        for number in range(len(self._places) - 1):
            yield from self._read(number)
        yield from self._pending

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return View(self, range(len(self))[index])
        number, place = divmod(range(len(self))[index], ITEMS_A_PART)
        return self._pending[place] if number == len(self._places) - 1 else self._read(number)[place]

    def _read(self, number: int) -> list[T]:
        if self._part[0] != number:
            start, stop = self._places[number : number + 2]
            self._file.seek(start)
            self._part = (number, pickle.loads(self._file.read(stop - start)))  # noqa: S301  written above
        return self._part[1]


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # it writes what could not be written before
        file.close()


class View(Sequence[T], Generic[T]):
    """Some items of a sequence, by their places in it."""

    def __init__(self, items: Sequence[T], places: Sequence[int]) -> None:
        self._items, self._places = items, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return View(self._items, self._places[index])
        return self._items[int(self._places[index])]


class Joined(Sequence[T], Generic[T]):
    """Sequences one behind the other."""

    def __init__(self, parts: Sequence[Sequence[T]]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[T]:
        for part in self._parts:
            yield from part

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return View(self, range(len(self))[index])
        place = range(len(self))[index]
        for part in self._parts:
            if place < len(part):
                return part[place]
            place -= len(part)
        raise IndexError(index)


def in_parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size`` items, and of those that are left."""
    left = iter(items)
    while part := list(islice(left, size)):
        yield part
