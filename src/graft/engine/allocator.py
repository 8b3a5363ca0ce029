"""Keeps memory that a step frees for the next one: batches differ, and new pages cost up to a tenth of a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from graft.engine.kernels import kernels
from graft.hardware.heap import glibc, release_heap

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""mallopt's parameters (mallopt(3))."""

KEPT, USUAL = 512 * 2**20, 128 * 2**10
"""Bytes at the heap's end that may stay free: within the context, and glibc's default."""

LARGEST = 32 * 2**20
"""Bytes of the largest piece that comes from the heap: glibc's maximum."""

_kept: ContextVar[bool] = ContextVar("kept", default=False)


@contextmanager
def memory_kept() -> Iterator[None]:
    """Within the context, glibc's heap keeps what is freed and the kernels their workspace; then both are released.

    Nested contexts do nothing: training may evaluate on its way.
    """
    if _kept.get():
        yield
        return
    heap = glibc()
    if heap:
        heap.mallopt(MMAP_THRESHOLD, LARGEST)
        heap.mallopt(TRIM_THRESHOLD, KEPT)
    token = _kept.set(True)
    try:
        yield
    finally:
        _kept.reset(token)
        library = kernels()
        if library:
            library.release_workspace()
        if heap:
            heap.mallopt(TRIM_THRESHOLD, USUAL)
            release_heap()
