"""What this machine has, and what a process uses of it."""

from __future__ import annotations

import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import psutil


def machine() -> dict[str, Any]:
    """CPU, cores, memory in GB, GPUs, system: plain values for a manifest."""
    return {
        "cpu": cpu_name(),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "logical_cores": os.cpu_count(),
        "memory_gb": round(memory_mb()[1] / 2**10, 1),
        "gpu": gpu_names(),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def cpu_name() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_available_mb() -> float:
    return memory_mb()[0]


def memory_mb() -> tuple[float, float, float]:
    """In MB: what is available, what there is, and what this process holds."""
    memory = psutil.virtual_memory()
    available, total = float(memory.available), float(memory.total)
    limit, used = container_memory()
    if limit < total:
        available, total = min(available, limit - used), limit
    return available / 2**20, total / 2**20, psutil.Process().memory_info().rss / 2**20


def container_memory(folder: Path = Path("/sys/fs/cgroup")) -> tuple[float, float]:
    """The limit of the container this runs in (infinite where there is none), and what of it is used, in bytes.

    The kernel's file cache counts as used there, but is given back when it is needed.
    """
    for limit, used, cache in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            most = float((folder / limit).read_text(encoding="ascii").replace("max", "inf"))
            taken = float((folder / used).read_text(encoding="ascii"))
            stat = dict(line.split() for line in (folder / cache).read_text(encoding="ascii").splitlines())
        except (OSError, ValueError):
            continue
        return most, max(0.0, taken - float(stat.get("inactive_file", 0)))
    return math.inf, 0.0


def gpu_names() -> list[str]:
    """NVIDIA GPUs by nvidia-ml-py, where it and a driver are there."""
    return [name for name, _, _ in _gpus()]


def _gpus() -> list[tuple[str, float, float]]:
    """Name, memory used in MB, utilisation in percent."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, no driver, no permission: no GPU to speak of
        return []
    found = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        used = pynvml.nvmlDeviceGetMemoryInfo(handle).used / 2**20
        rate = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
        found.append((str(pynvml.nvmlDeviceGetName(handle)), float(used), float(rate)))
    return found


class Resources:
    """Samples what this process uses: resident memory in MB and its peak, CPU in percent of one core, GPUs."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._has_gpu = bool(_gpus())

    def sample(self) -> dict[str, float]:
        found = {
            "rss_mb": round(self._process.memory_info().rss / 2**20, 1),
            "cpu_percent": self._process.cpu_percent(),
        }
        if self._has_gpu:
            for index, (_, memory, rate) in enumerate(_gpus()):
                found |= {f"gpu_{index}_memory_mb": round(memory, 1), f"gpu_{index}_percent": rate}
        return found


def peak_memory_mb() -> float:
    """The most resident memory this process ever had."""
    status = Path("/proc/self/status")
    if status.is_file():  # on Linux; what getrusage says there, a process inherits from the one that started it
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**10
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset / 2**20)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


ISA = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16", "asimddp", "i8mm", "bf16")
"""Instruction sets that matter for matrix products, as Linux names them."""


def isa() -> list[str]:
    """Those of ``ISA`` that this CPU has; only Linux says so in a file."""
    if sys.platform != "linux":
        return []
    words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    return [name for name in ISA if name in words]


def npu_names() -> list[str]:
    """NPUs that Linux has a driver for."""
    return sorted(entry.name for entry in Path("/sys/class/accel").glob("accel*")) if sys.platform == "linux" else []


def providers() -> list[str]:
    """onnxruntime's execution providers on this machine."""
    try:
        import onnxruntime
    except ImportError:
        return []
    return [str(name) for name in onnxruntime.get_available_providers()]
