"""The memory of this process."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_mb() -> float:
    """The most resident memory this process ever had. (What ``getrusage`` says is inherited from the driver.)"""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
        return int(lines["VmHWM"].split()[0]) / 2**10
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset / 2**20)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
