import sys
from importlib.util import find_spec

import pytest
import torch

from graft.engine.allocator import memory_kept

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not find_spec("resource"), reason="Linux's heap"
)


def faults():
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for step in range(20):
        held = [torch.zeros(2_000_000 + 50_000 * ((7 * step + place) % 11)) for place in range(6)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_steps_of_unlike_sizes_reuse_their_memory():
    import ctypes

    if not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        pytest.skip("another allocator than glibc's")
    without = faults()
    with memory_kept():
        with memory_kept():  # an evaluation on the way
            faults()
        faults()
        assert faults() < without / 4
