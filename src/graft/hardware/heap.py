"""The heap of glibc, which keeps what a program frees unless it is told to give it back."""

from __future__ import annotations

import ctypes
import functools
import sys


@functools.cache
def glibc() -> ctypes.CDLL | None:
    """The C library where it is glibc; None on other systems."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "malloc_trim") else None


def release_heap() -> None:
    """Give back to the system what is free on the heap, also between what is in use (malloc_trim(3))."""
    library = glibc()
    if library is not None:
        library.malloc_trim(0)
