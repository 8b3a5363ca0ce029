"""The structures that the kernels take, as ``structs.h`` declares them; their layouts are compared at load."""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_float, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from enum import IntEnum


class Compute(IntEnum):
    """The number format in which the products with frozen weights are computed."""

    FLOAT32 = 0
    INT8 = 1
    BFLOAT16 = 2


class RowKind(IntEnum):
    """How rows are made from what is kept: as they are, RMS-normalized, or gated."""

    PLAIN = 0
    RMS_NORM = 1
    SWIGLU = 2


class Dropout(ctypes.Structure):
    _fields_ = (("key", c_uint64), ("threshold", c_uint32), ("scale", c_float))


class RowSource(ctypes.Structure):
    _fields_ = (("kind", c_int32), ("first", c_void_p), ("second", c_void_p), ("eps", c_double), ("dropout", Dropout))


class LoraEpilogue(ctypes.Structure):
    _fields_ = (
        ("rank", c_int32),
        ("h", c_void_p),
        ("h_row", c_int64),
        ("b", c_void_p),
        ("b_row", c_int64),
        ("b_col", c_int64),
        ("scale", c_float),
    )


class Int8Weight(ctypes.Structure):
    _fields_ = (("values", c_void_p), ("scales", c_void_p), ("compensation", c_void_p))


class LoraLayer(ctypes.Structure):
    _fields_ = (
        ("n", c_int32),
        ("rank", c_int32),
        ("w", c_void_p),
        ("w_row", c_int64),
        ("w_col", c_int64),
        ("forward", Int8Weight),
        ("backward", Int8Weight),
        ("a", c_void_p),
        ("b", c_void_p),
        ("scale", c_double),
        ("bias", c_void_p),
        ("residual", c_void_p),
        ("y", c_void_p),
        ("grad", c_void_p),
        ("grad_a", c_void_p),
        ("grad_b", c_void_p),
    )


class AttentionParams(ctypes.Structure):
    _fields_ = (
        *((name, c_int32) for name in ("nodes", "tokens", "shared", "heads", "kv_heads", "d", "window")),
        *((name, c_void_p) for name in ("spans", "positions")),
        *((name, c_double) for name in ("scale", "cap")),
    )


class KVCache(ctypes.Structure):
    _fields_ = (
        *((name, c_int32) for name in ("rows", "shared", "capacity")),
        *((name, c_void_p) for name in ("slots", "lengths")),
    )


class DecoderLayer(ctypes.Structure):
    _fields_ = (
        *((name, c_int32) for name in ("compute", "width", "inner")),
        ("attention", AttentionParams),
        *((name, c_double) for name in ("eps_attention", "eps_mlp", "eps_q", "eps_k")),
        *((name, c_void_p) for name in ("norm_attention", "norm_mlp", "norm_q", "norm_k", "cos", "sin")),
        *((name, c_void_p) for name in ("kept_attention", "kept_mlp", "gate", "up")),
        ("layers", LoraLayer * 7),
        ("dropouts", Dropout * 4),
    )


STRUCTS: tuple[type[ctypes.Structure], ...] = (
    Dropout,
    RowSource,
    LoraEpilogue,
    Int8Weight,
    LoraLayer,
    AttentionParams,
    KVCache,
    DecoderLayer,
)

ENUMS: tuple[type[IntEnum], ...] = (Compute, RowKind)


def layouts() -> list[str]:
    """A line for each structure (name, size, offsets of its fields) and enumeration, as the library reports them."""
    structs = [_line(struct.__name__, _numbers(struct)) for struct in STRUCTS]
    return structs + [_line(enum.__name__, {member.name: member.value for member in enum}) for enum in ENUMS]


def layout_difference(reported: str) -> str | None:
    """What of the library's layouts (``kernel_abi()`` of abi.cpp) is not as declared here; None when they are equal."""
    declared, found = layouts(), reported.split("\n")
    for here, there in zip(declared, found, strict=False):
        if here != there:
            return f"Python has {here!r}, the library {there!r}"
    return None if len(declared) == len(found) else f"Python has {len(declared)} layouts, the library {len(found)}"


def _numbers(struct: type[ctypes.Structure]) -> dict[str, int]:
    offsets = {str(field[0]): int(getattr(struct, field[0]).offset) for field in struct._fields_}
    return {"size": ctypes.sizeof(struct), **offsets}


def _line(name: str, numbers: dict[str, int]) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in numbers.items())])
