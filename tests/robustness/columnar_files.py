"""Parquet and Arrow files and folders of ``datasets``, damaged and odd: ``columnar_files.py FOLDER FIRST COUNT``."""

import datetime
import decimal
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from child_cases import run_cases
from data_files import damaged, rows_of
from pyarrow import ipc, parquet

from graft.config import DataSettings
from graft.data.pipeline import read_examples
from graft.data.rows import as_row

MEMORY = 3 << 30
"""Bytes of address space, of which pyarrow's libraries take about a third."""


def _texts(data: bytes, offsets: list[int]) -> pa.Array:
    """Texts with any bytes and any offsets, unchecked."""
    ends = pa.py_buffer(b"".join(offset.to_bytes(4, "little", signed=True) for offset in offsets))
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, [None, ends, pa.py_buffer(data)])


def _deep(levels: int) -> pa.Array:
    kind: Any = pa.string()
    value: Any = "x"
    for _ in range(levels):
        kind, value = pa.list_(kind), [value]
    return pa.array([value, None], kind)


def _numbers(kind: pa.DataType, *values: int) -> pa.Array:
    return pa.array(values, pa.int64()).view(kind)


ODD: dict[str, Callable[[], pa.Array]] = {
    "bytes that are no UTF-8": lambda: _texts(b"ok\xff\xfe", [0, 2, 4]),
    "offsets behind the end": lambda: _texts(b"abc", [0, 2, 2**31 - 1]),
    "offsets that go back": lambda: _texts(b"abc", [0, 3, 1]),
    "negative offsets": lambda: _texts(b"abc", [-5, 1, 3]),
    "dates beyond Python's": lambda: _numbers(pa.timestamp("s"), 2**60, -(2**60)),
    "days beyond Python's": lambda: _numbers(pa.date64(), 2**62, 0),
    "durations beyond Python's": lambda: _numbers(pa.duration("s"), 2**62, -(2**62)),
    "nanoseconds": lambda: _numbers(pa.timestamp("ns", "Nowhere/Land"), 1, 2),
    "decimals": lambda: pa.array([decimal.Decimal("1.50"), None], pa.decimal256(76, 2)),
    "dates in lists": lambda: pa.array([[datetime.date(2000, 1, 1)], [None]]),
    "bytes in lists": lambda: pa.array([[b"\xff"], [b"a"]]),
    "maps": lambda: pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
    "indices out of range": lambda: pa.DictionaryArray.from_arrays(pa.array([0, 99]), pa.array(["a", "b"]), safe=False),
    "negative indices": lambda: pa.DictionaryArray.from_arrays(pa.array([-9, 0]), pa.array(["a", "b"]), safe=False),
    "nothing": lambda: pa.nulls(2),
    "unions": lambda: pa.UnionArray.from_dense(
        pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["x"])]
    ),
    "unions out of range": lambda: pa.UnionArray.from_dense(
        pa.array([0, 1], pa.int8()), pa.array([0, 7], pa.int32()), [pa.array([1]), pa.array(["x"])]
    ),
    "extension": lambda: pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, b"1" * 16], pa.binary(16))),
    "40 levels": lambda: _deep(40),
    "60 levels": lambda: _deep(60),
    "200 levels": lambda: _deep(200),
    "long list": lambda: pa.array([[1] * 100_000, []]),
    "half floats": lambda: pa.array([1, 2], pa.float16()),
    "times": lambda: pa.array([datetime.time(1), None]),
    "views": lambda: pa.array(["a" * 20, "b"], pa.string_view()),
    "runs": lambda: pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int16()), pa.array(["x", "y"])),
    "empty object": lambda: pa.array([{}, {}], pa.struct([])),
}
HOW = ("text", "label", "messages", "completion")


def odd_table(name: str, column: str) -> pa.Table:
    """Two rows whose column has an odd value."""
    array = ODD[name]()
    return pa.table({column: array, **{other: ["a", "b"] for other in ("text", "prompt") if other != column}})


def write_parquet(table: pa.Table, path: Path, chance: random.Random) -> None:
    """Write Parquet, compressed or not, with dictionaries or without."""
    kind = chance.choice(("snappy", "zstd", "gzip", "none"))
    parquet.write_table(table, path, compression=kind, use_dictionary=chance.random() < 0.5)


def write_arrow(table: pa.Table, path: Path, chance: random.Random) -> None:
    """Write Arrow, as a stream or as a file."""
    kind = chance.choice((ipc.new_stream, ipc.new_file))
    options = ipc.IpcWriteOptions(compression=chance.choice((None, "lz4", "zstd")))
    with kind(str(path), table.schema, options=options) as writer:
        writer.write_table(table)


def write_saved(table: pa.Table, path: Path, chance: random.Random) -> None:
    """Write a folder as ``datasets`` does."""
    path.mkdir(exist_ok=True)
    with ipc.new_stream(str(path / "data-00000-of-00001.arrow"), table.schema) as writer:
        writer.write_table(table)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_format_columns": None, "_split": None}
    info = {"features": {name: {"dtype": "string", "_type": "Value"} for name in table.column_names}}
    (path / "state.json").write_text(json.dumps(state), encoding="utf-8")
    (path / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")


def written(folder: Path, seed: int) -> tuple[Path, str]:
    """A file or a folder of datasets, and what is wrong with it."""
    chance = random.Random(seed)
    write, name = chance.choice(((write_parquet, "r.parquet"), (write_arrow, "r.arrow"), (write_saved, "saved")))
    path, what = folder / name, ""
    if chance.random() < 0.3:
        what = chance.choice([*ODD])
        table = odd_table(what, chance.choice(HOW))
    else:
        table = pa.Table.from_pylist(rows_of(chance))
    write(table, path, chance)
    inner = chance.choice(sorted(path.iterdir())) if path.is_dir() else path
    data, how = damaged(inner.read_bytes(), chance)
    inner.write_bytes(data)
    return path, f"{name} {what} {how}"


def read(path: Path) -> None:
    """Read the examples, and write them as a run does.

    Raises:
        GraftError: If the file is refused.
    """
    for example in read_examples(DataSettings(data_name=str(path))).examples:
        json.dumps(as_row(example), ensure_ascii=False).encode()


if __name__ == "__main__":
    run_cases(written, read, MEMORY)
