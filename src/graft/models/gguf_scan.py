"""The header of a GGUF file, checked before a library reads it.

The ``gguf`` library creates several objects for each value, and trusts every declared length: an array of 2**40
numbers, or one that is nested 200,000 times, keeps it busy for hours. This scan compares lengths with the size of the
file and with fixed bounds, and checks the types of the values that graft and transformers compute with.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graft.documents import shown
from graft.errors import InputError, Problems, reason_of
from graft.models.model_config import PLAUSIBLE_LAYERS, PLAUSIBLE_SIZE

REMEDY = "copy or download it again"
MOST_FIELDS, MOST_TENSORS = 65_536, 65_536
MOST_ELEMENTS = 2_097_152
"""Of all arrays together; a vocabulary of 250,000 tokens has 1.3 million, with its merges and scores."""
DEEPEST = 4
"""Levels of nested arrays; no known file has two."""
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_DIMENSIONS = 4
_TEXTS = ("general.architecture", "general.name", "general.license", "tokenizer.chat_template", "tokenizer.ggml.model")
_IDS = tuple(f"tokenizer.ggml.{name}_token_id" for name in ("bos", "eos", "unknown", "padding", "eot", "separator"))
_SIZES = ("embedding_length", "feed_forward_length", "attention.head_count", "attention.head_count_kv", "vocab_size")
_MORE_SIZES = ("attention.key_length", "attention.value_length", "rope.dimension_count", "expert_count")


@dataclass
class GgufHeader:
    """What a GGUF file declares.

    Attributes:
        values: By key; of an array, its elements' type and their number.
        tensors: The shape of each tensor by name.
    """

    values: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class GgufArray:
    """An array: ``kind`` is str, int or float; of nested ones list."""

    kind: type
    length: int


class _Damaged(Exception):
    """What is wrong with a file."""


def scan(path: Path) -> GgufHeader:
    """Return what a GGUF file declares; this takes milliseconds.

    Raises:
        InputError: If it cannot be read, is not a GGUF file or truncated, or declares more than it holds or any model
            has.
    """
    try:
        if not path.is_file():
            raise InputError("no such file" if not path.exists() else "this is not a regular file", where=str(path))
        with path.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise InputError("this is not a GGUF file", where=str(path))
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                header = _Scanner(data).header()
    except OSError as error:
        raise InputError(f"cannot read this file: {reason_of(error)}", where=str(path)) from None
    except (_Damaged, ValueError, struct.error) as error:
        what = f"the GGUF file is truncated or damaged ({reason_of(error)})"
        raise InputError(what, where=str(path), remedy=REMEDY) from None
    problems = Problems()
    _check_values(header, path, problems)
    problems.raise_if_any()
    return header


class _Scanner:
    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.size = data, len(data)
        self.place, self.elements = 4, 0
        version = self._number("I", "<")
        self.order = ">" if version & 0xFFFF == 0 else "<"
        self.place = 4
        if self._number("I") not in (2, 3):
            raise _Damaged(f"its version is {version}")

    def header(self) -> GgufHeader:
        tensors, fields = self._number("Q"), self._number("Q")
        for count, most, what in ((fields, MOST_FIELDS, "keys"), (tensors, MOST_TENSORS, "tensors")):
            if count > most:
                raise _Damaged(f"it declares {count:,} {what}; at most {most:,} are accepted")
        found = GgufHeader()
        for _ in range(fields):
            name = self._text()
            if name in found.values:
                raise _Damaged(f"it has the key {shown(name)} twice")
            found.values[name] = self._value(self._number("I"))
        self._tensors(tensors, found)
        return found

    def _number(self, kind: str, order: str | None = None) -> Any:
        end = self.place + struct.calcsize("=" + kind)
        if end > self.size:
            raise _Damaged("its header is cut short")
        (found,) = struct.unpack_from((order or self.order) + kind, self.data, self.place)
        self.place = end
        return found

    def _bytes(self) -> bytes:
        length = self._number("Q")
        if length > self.size - self.place:
            raise _Damaged(f"it declares a text of {length:,} bytes")
        self.place += length
        return self.data[self.place - length : self.place]

    def _text(self) -> str:
        try:
            return self._bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise _Damaged("a text in it is not UTF-8") from None

    def _value(self, kind: int, depth: int = 0) -> Any:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            return self._array(depth + 1)
        if kind not in _FORMATS:
            raise _Damaged(f"it has a value of the unknown type {kind}")
        return self._number(_FORMATS[kind])

    def _array(self, depth: int) -> GgufArray:
        kind, length = self._number("I"), self._number("Q")
        self.elements += length
        if self.elements > MOST_ELEMENTS:
            raise _Damaged(f"it declares an array of {length:,} elements")
        if depth > DEEPEST:
            raise _Damaged("its arrays are nested too deeply")
        if kind in _FORMATS:
            self._skip(length * struct.calcsize("=" + _FORMATS[kind]))
            return GgufArray(float if kind in (6, 12) else int, length)
        for _ in range(length):
            self._value(kind, depth)
        return GgufArray(str if kind == _STRING else list, length)

    def _skip(self, length: int) -> None:
        if length > self.size - self.place:
            raise _Damaged("its header is cut short")
        self.place += length

    def _tensors(self, count: int, found: GgufHeader) -> None:
        from gguf.constants import GGML_QUANT_SIZES

        ends = total = 0
        for _ in range(count):
            name, dimensions = self._text(), self._number("I")
            if name in found.tensors:
                raise _Damaged(f"two tensors have the name {shown(name)}")
            if not 1 <= dimensions <= _DIMENSIONS:
                what = f"the tensor {shown(name)} has {dimensions:,} dimensions; expected 1 to {_DIMENSIONS}"
                raise _Damaged(what)
            shape = tuple(self._number("Q") for _ in range(dimensions))
            kind, offset = self._number("I"), self._number("Q")
            if kind not in GGML_QUANT_SIZES:
                raise _Damaged(f"the tensor {shown(name)} has the unknown type {kind}")
            block, block_bytes = GGML_QUANT_SIZES[kind]
            size = math.prod(shape) * block_bytes // block
            if not size or shape[0] % block or offset + size > self.size:
                raise _Damaged(f"the tensor {shown(name)} has the shape {shape} at byte {offset:,}")
            found.tensors[name] = shape
            ends, total = max(ends, offset + size), total + size
        alignment = found.values.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 2**20 or alignment & (alignment - 1):
            raise _Damaged(f"its alignment is {shown(alignment)}")
        start = -(-self.place // alignment) * alignment
        if count and max(ends, total) > self.size - start:
            raise _Damaged(f"it has {self.size:,} bytes, its tensors need {start + max(ends, total):,}")


def _check_values(header: GgufHeader, path: Path, problems: Problems) -> None:
    values = header.values
    for key in _TEXTS:
        if not isinstance(values.get(key, ""), str):
            problems.add(f"{key} is {shown(values[key])}; expected a string", path, REMEDY)
    tokens = values.get("tokenizer.ggml.tokens")
    if tokens is not None and not (isinstance(tokens, GgufArray) and tokens.kind is str and tokens.length):
        problems.add("tokenizer.ggml.tokens is not an array of texts", path, REMEDY)
        return
    count = tokens.length if tokens is not None else 0
    for key in _IDS:
        number = values.get(key)
        if number is not None and not (type(number) is int and 0 <= number < count):
            problems.add(f"{key} is {shown(number)}, but there are {count:,} tokens", path, REMEDY)
    for key, kind in (("token_type", int), ("scores", float)):
        found = values.get(f"tokenizer.ggml.{key}")
        if found is not None and found != GgufArray(kind, count):
            problems.add(f"tokenizer.ggml.{key} must have one number for each of {count:,} tokens", path, REMEDY)
    merges = values.get("tokenizer.ggml.merges")
    if merges is not None and not (isinstance(merges, GgufArray) and (merges.kind is str or not merges.length)):
        problems.add("tokenizer.ggml.merges is not an array of texts", path, REMEDY)
    _check_sizes(values, header.tensors, path, problems)


def _check_sizes(
    values: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]], path: Path, problems: Problems
) -> None:
    """Sizes that are far beyond the tensors: a library builds what is declared before it looks at the weights."""
    architecture = values.get("general.architecture")
    largest = max((size for shape in tensors.values() for size in shape), default=0)
    limits = {"block_count": max(PLAUSIBLE_LAYERS, len(tensors))}
    limits |= dict.fromkeys((*_SIZES, *_MORE_SIZES), max(PLAUSIBLE_SIZE, largest))
    limits |= {"context_length": 2**31}
    for name, most in limits.items():
        found = values.get(f"{architecture}.{name}")
        if found is None or isinstance(found, GgufArray):  # some files have a number for each layer
            continue
        if type(found) is not int or not 0 <= found <= most:
            problems.add(f"{architecture}.{name} is {shown(found)}; expected a number up to {most:,}", path, REMEDY)


def check_shape(header: GgufHeader, architecture: str, path: Path) -> None:
    """Check that a file gives the sizes of its model, and has a tensor of each of its layers.

    Where a size is missing, transformers takes that of a model with billions of weights, and builds it.

    Raises:
        InputError: If it does not.
    """
    problems = Problems()
    for name in ("block_count", "embedding_length"):
        if f"{architecture}.{name}" not in header.values:
            problems.add(f"the key {architecture}.{name} is missing", path, REMEDY)
    problems.raise_if_any()
    layers = len({name.split(".")[1] for name in header.tensors if name.startswith("blk.")})
    declared = header.values[f"{architecture}.block_count"]
    if not isinstance(declared, int) or declared > layers:
        what = f"{architecture}.block_count is {shown(declared)}, but there are tensors of {layers:,} layers"
        raise InputError(what, where=str(path), remedy=REMEDY)
