"""The header of a safetensors file: read with bounds and checked as its format page says, before a library opens it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.documents import parse_json, shown
from graft.errors import InputError

REMEDY = "copy or download it again"
LARGEST_HEADER = 100_000_000
"""Bytes of a header, the format's own limit."""
BITS = (
    {"BOOL": 8, "I8": 8, "U8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8}
    | {"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64}
    | {"C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
)
"""Of an element, by the format's name of its type."""


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies: ``begin`` and ``end`` are bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_header(file: Path) -> dict[str, TensorEntry]:
    """Return the tensors of a safetensors file by name; only its header is read.

    Raises:
        InputError: If the file is cut short, or its header is not what the format asks for.
    """
    where = str(file)
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else LARGEST_HEADER + 1
        if length > LARGEST_HEADER:
            raise InputError("this is not a safetensors file", where=where, remedy=REMEDY)
        if 8 + length > size:
            what = f"the weight file is truncated: {size:,} bytes, less than its header"
            raise InputError(what, where=where, remedy=REMEDY)
        text = stream.read(length)
    try:
        found = parse_json(text.decode("utf-8"), where, REMEDY)
    except (UnicodeDecodeError, InputError) as error:
        reason = error.problems[0].what if isinstance(error, InputError) else "its header is not UTF-8"
        raise InputError(f"this is not a safetensors file: {reason}", where=where, remedy=REMEDY) from None
    entries = _entries(found, where)
    _check_places(entries, where)
    expected = 8 + length + max((entry.end for entry in entries.values()), default=0)
    if expected != size:
        what = f"the weight file is truncated or damaged: {size:,} bytes instead of {expected:,}"
        raise InputError(what, where=where, remedy=REMEDY)
    return entries


def _entries(found: Any, where: str) -> dict[str, TensorEntry]:
    if not isinstance(found, dict):
        what = f"this is not a safetensors file: its header is {shown(found)}, not an object"
        raise InputError(what, where=where, remedy=REMEDY)
    notes = found.pop("__metadata__", None) or {}
    if not (isinstance(notes, dict) and all(isinstance(value, str) for value in notes.values())):
        what = f"this is not a safetensors file: its __metadata__ is {shown(notes)}, not texts by name"
        raise InputError(what, where=where, remedy=REMEDY)
    return {name: _entry(name, value, where) for name, value in found.items()}


def _entry(name: str, value: Any, where: str) -> TensorEntry:
    try:
        dtype, shape, (begin, end) = value["dtype"], value["shape"], value["data_offsets"]
        numbers = [*shape, begin, end]
        right = all(type(number) is int and 0 <= number < 2**63 for number in numbers) and isinstance(shape, list)
        if right and dtype in BITS and _bits(dtype, shape) == 8 * (end - begin):
            return TensorEntry(dtype, tuple(shape), begin, end)
    except (TypeError, LookupError, ValueError):
        pass  # said below
    what = f"this is not a safetensors file: the tensor {shown(name)} is declared as {shown(value)}"
    raise InputError(what, where=where, remedy=REMEDY)


def _bits(dtype: str, shape: list[int]) -> int:
    """The size of a tensor's data; -1 for one that no file can hold, whose product could be a very long number."""
    total = BITS[dtype]
    if 0 in shape:
        return 0
    for size in shape:
        total *= size
        if total >= 2**66:
            return -1
    return total


def _check_places(entries: dict[str, TensorEntry], where: str) -> None:
    """Tensors follow one another without gaps; so none lies within another."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != end:
            what = (
                f"this is not a safetensors file: the tensor {shown(name)} begins at byte {entry.begin:,}, not {end:,}"
            )
            raise InputError(what, where=where, remedy=REMEDY)
        end = entry.end
