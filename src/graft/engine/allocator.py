"""Memory that a step gives back is kept for the next: batches differ, and new pages cost up to a tenth of a step."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from graft.engine.kernels import kernels

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""mallopt's parameters (mallopt(3))."""

KEPT, USUAL = 512 * 2**20, 128 * 2**10
"""Bytes at the heap's end that may stay free: within, and as glibc has it."""

LARGEST = 32 * 2**20
"""Bytes of a piece that still comes from the heap: the most that glibc takes."""

_kept: ContextVar[bool] = ContextVar("kept", default=False)


@contextmanager
def memory_kept() -> Iterator[None]:
    """Within, glibc's heap keeps what is freed, and the kernels their scratch; afterwards both are given back. Nothing
    is done where it is kept already: training may evaluate on its way.
    """
    if _kept.get():
        yield
        return
    library = _glibc()
    if library:
        library.mallopt(MMAP_THRESHOLD, LARGEST)
        library.mallopt(TRIM_THRESHOLD, KEPT)
    token = _kept.set(True)
    try:
        yield
    finally:
        _kept.reset(token)
        made = kernels()
        if made:
            made.give_back()
        if library:
            library.mallopt(TRIM_THRESHOLD, USUAL)
            library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "malloc_trim") else None
