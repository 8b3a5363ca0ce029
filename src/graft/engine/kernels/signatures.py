"""The exported functions and their arguments: a call with another count, type or layout of them is an error."""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int, c_int64
from typing import Any

import torch

from graft.engine.kernels.structs import (
    AttentionParams,
    DecoderLayer,
    Dropout,
    Int8Weight,
    KVCache,
    LoraEpilogue,
    LoraLayer,
    RowSource,
)


class TensorArgument:
    """A CPU tensor of one of some types, passed as a pointer; None as a null pointer.

    Args:
        dtypes: The types that are accepted.
        dense: Whether it must be contiguous; otherwise the function takes its strides.
    """

    def __init__(self, *dtypes: torch.dtype, dense: bool = True) -> None:
        self.dtypes, self.dense = dtypes, dense

    def from_param(self, value: object) -> ctypes.c_void_p:
        """Called by ctypes for each argument; what it raises becomes a ``ctypes.ArgumentError``."""
        if value is None:
            return ctypes.c_void_p()
        if not isinstance(value, torch.Tensor) or value.dtype not in self.dtypes or not value.is_cpu:
            expected = " or ".join(map(str, self.dtypes))
            raise TypeError(f"a CPU tensor of {expected} is expected, not {_described(value)}")
        if self.dense and not value.is_contiguous():
            raise TypeError(f"a contiguous tensor is expected, not strides {value.stride()} of {tuple(value.shape)}")
        return ctypes.c_void_p(value.data_ptr())


def _described(value: object) -> str:
    return f"{value.dtype} on {value.device}" if isinstance(value, torch.Tensor) else repr(value)


_FLOAT = TensorArgument(torch.float32)
_FLOAT_STRIDED = TensorArgument(torch.float32, dense=False)
_BYTES = TensorArgument(torch.int8, torch.uint8)
_UINT8 = TensorArgument(torch.uint8)
_INT32 = TensorArgument(torch.int32)
_INT64 = TensorArgument(torch.int64)
_GROUP = (c_int, c_int64, c_int, c_int, ctypes.POINTER(LoraLayer))
_LORA, _INT8_WEIGHT = ctypes.POINTER(LoraEpilogue), ctypes.POINTER(Int8Weight)
_ATTENTION = ctypes.POINTER(AttentionParams)
_GEMM = (c_int64, c_int, c_int, _FLOAT, _FLOAT_STRIDED, c_int64, c_int64, _LORA, _FLOAT, _FLOAT)

SUFFIXES = {torch.float32: "_f32", torch.float64: "_f64"}
"""The functions below that exist for both types."""


def typed_signatures(dtype: torch.dtype) -> dict[str, tuple[Any, ...]]:
    """Argument types of the functions that end in ``_f32`` or ``_f64``, by their whole names."""
    x, strided = TensorArgument(dtype), TensorArgument(dtype, dense=False)
    found = {
        "attention_forward": (_ATTENTION, x, x, x, x, x),
        "attention_backward": (_ATTENTION, x, x, x, x, x, x, x, x),
        "attention_decode": (_ATTENTION, ctypes.POINTER(KVCache), x, x, x, x, x, x),
        "rms_norm_forward": (c_int64, c_int, x, x, c_double, x, x),
        "rms_norm_backward": (c_int64, c_int, x, x, x, x, x, x),
        "rope": (c_int64, c_int, c_int, x, x, x, c_int, x),
        "swiglu_forward": (c_int64, x, x, x),
        "swiglu_backward": (c_int64, x, x, x, x, x),
        "cross_entropy": (c_int64, c_int, x, _INT64, x),
        "lora_down": (c_int64, c_int, c_int, x, x, x, _BYTES, _FLOAT, c_int),
        "lora_backward_b": (
            *(c_int64, c_int, c_int, x, x, strided, c_int64, c_double),
            *(strided, c_int64, x, _BYTES, _FLOAT, c_int),
        ),
        "lora_grad_a": (c_int64, c_int, c_int, x, x, x),
    }
    return {name + SUFFIXES[dtype]: arguments for name, arguments in found.items()}


SIGNATURES: dict[str, tuple[Any, ...]] = {
    **typed_signatures(torch.float32),
    **typed_signatures(torch.float64),
    "quantize_rows": (c_int64, c_int, _FLOAT, _BYTES, _FLOAT, c_int),
    "dequantize": (c_int64, c_int, _INT32, _FLOAT, _FLOAT, _FLOAT, c_int),
    "gemm_f32": _GEMM,
    "gemm_bf16": _GEMM,
    "gemm_int8": (c_int64, c_int, c_int, _UINT8, _FLOAT, _INT8_WEIGHT, _LORA, _FLOAT, _FLOAT),
    "lora_group_forward": (*_GROUP, ctypes.POINTER(Dropout), _FLOAT, _FLOAT),
    "lora_group_backward": (*_GROUP, ctypes.POINTER(RowSource), _FLOAT, _FLOAT),
    "decoder_layer_forward": (ctypes.POINTER(DecoderLayer), _FLOAT, _FLOAT),
    "decoder_layer_backward": (ctypes.POINTER(DecoderLayer), _FLOAT, _FLOAT, _FLOAT),
    "amx_available": (),
    "release_workspace": (),
    "kernel_abi": (),
}
"""Argument types by exported name. ``gemm_*``, ``lora_group_*`` and ``decoder_layer_*`` exist where the processor has
the instructions that they need."""

RESULTS: dict[str, Any] = {"amx_available": c_int, "release_workspace": c_int64, "kernel_abi": ctypes.c_char_p}
"""Result types; every other function returns nothing."""


def declare(library: ctypes.CDLL) -> None:
    """Set ``argtypes`` and ``restype`` of all functions that ``library`` has."""
    for name, arguments in SIGNATURES.items():
        if hasattr(library, name):
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, RESULTS.get(name)
