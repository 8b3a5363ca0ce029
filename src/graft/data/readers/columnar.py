"""Parquet and Arrow files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from graft.data.example import Origin
from graft.data.features import named, of_schema
from graft.data.readers.base import Row
from graft.data.values import Unreadable, plain, without_padding
from graft.errors import InputError, Problems, refusing

ROWS_AT_ONCE = 4096
BYTES_AT_ONCE = 1 << 26
"""Of a row group of Parquet whose rows are long, what is decoded at once."""
MOST_ROWS, ROWS_A_BYTE = 10_000_000, 100
"""Rows of a file, the larger of the first number and 100 for each byte: columns of nulls take almost no bytes."""


class Parquet:
    """Reads 4,096 rows at a time."""

    name = "parquet"
    endings: tuple[str, ...] = (".parquet",)

    def read(self, path: Path, problems: Problems) -> Iterator[Row]:
        """Yield rows, with ``ROWS_AT_ONCE`` or ``BYTES_AT_ONCE`` in memory; what pyarrow cannot read is a problem."""
        return _rows(lambda: _parts(path), path, problems)


class Arrow:
    """Reads a record batch at a time, of the stream and of the file format."""

    name = "arrow"
    endings: tuple[str, ...] = (".arrow",)

    def read(self, path: Path, problems: Problems) -> Iterator[Row]:
        """Yield rows, with one record batch in memory; what pyarrow cannot read is a problem."""
        return _rows(lambda: _batches(path), path, problems)


PARQUET, ARROW = Parquet(), Arrow()


def _parts(path: Path) -> Iterator[Any]:
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    longest = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=1)
    yield from file.iter_batches(max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // max(1, longest))))


def _batches(path: Path) -> Iterator[Any]:
    import pyarrow
    from pyarrow import ipc

    # Not mapped into memory: reading a map of a file that another program shortens would end the process.
    with pyarrow.OSFile(str(path)) as source:
        try:
            stream = ipc.open_stream(source)
        except pyarrow.ArrowInvalid:
            source.seek(0)
            file = ipc.open_file(source)
            yield from (file.get_batch(number) for number in range(file.num_record_batches))
        else:
            yield from stream


def _rows(open_batches: Callable[[], Iterable[Any]], path: Path, problems: Problems) -> Iterator[Row]:
    file, number, most = str(path), 0, max(MOST_ROWS, ROWS_A_BYTE * path.stat().st_size)
    with problems.collecting():
        for batch in _checked(open_batches, path):
            if number + batch.num_rows > most:
                what = f"this file of {path.stat().st_size:,} bytes has more than {most:,} rows"
                raise InputError(what, where=file, remedy="if these are real rows, split them into several files")
            for columns in rows_of_batch(batch):
                number += 1
                yield Row(columns, Origin(file, number))


def _checked(open_batches: Callable[[], Iterable[Any]], path: Path) -> Iterator[Any]:
    """The record batches in parts; reading the values of a damaged one would end the process.

    Raises:
        InputError: For a file that pyarrow cannot read.
    """
    with refusing(f"this file cannot be read as {path.suffix[1:]}", path):
        for batch in open_batches():
            batch.validate(full=True)
            yield from (batch.slice(start, ROWS_AT_ONCE) for start in range(0, batch.num_rows, ROWS_AT_ONCE))


def rows_of_batch(batch: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a record batch, classes by name, without the nulls that Arrow pads structs with.

    A value that Python cannot hold, such as a date in the year 12000, is ``Unreadable``.
    """
    with refusing("the names of the columns cannot be read"):
        names = batch.schema.names
    features = of_schema(batch.schema.metadata)
    columns = []
    for name, column in zip(names, batch.columns, strict=True):
        with refusing(f"the column {name!r} cannot be read"):
            columns.append(_values(column))
    for place, name in enumerate(names):
        if name in features:
            columns[place] = [named(value, features[name]) for value in columns[place]]
    for row in zip(*columns, strict=True):
        yield dict(zip(names, row, strict=True))


def _values(column: Any) -> list[Any]:
    import pyarrow

    try:
        values = column.to_pylist()
    except (ValueError, OverflowError, pyarrow.ArrowException):
        values = [_value(scalar) for scalar in column]
    return [without_padding(plain(value)) for value in values] if pyarrow.types.is_nested(column.type) else values


def _value(scalar: Any) -> Any:
    import pyarrow

    try:
        return scalar.as_py()
    except (ValueError, OverflowError, pyarrow.ArrowException) as error:
        return Unreadable(f"a {scalar.type} that cannot be read: {str(error).splitlines()[0]}")
