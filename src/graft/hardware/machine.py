"""The hardware of this machine, and the resources that a process uses."""

from __future__ import annotations

import math
import os
import platform
import sys
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from graft.processes import without_telemetry


def machine() -> dict[str, Any]:
    """CPU, cores, memory in GB, GPUs, operating system: plain values for a manifest."""
    return {
        "cpu": cpu_name(),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "logical_cores": os.cpu_count(),
        "memory_gb": round(memory_mb().total / 2**10, 1),
        "gpu": gpu_names(),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def cpu_name() -> str:
    """The processor's model, as Linux or Python names it."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_available_mb() -> float:
    """Memory that a process may take, in MB."""
    return memory_mb().available


class Memory(NamedTuple):
    """Of this machine, or of the container that limits this process, in MB."""

    available: float
    total: float
    used_by_process: float


def memory_mb() -> Memory:
    """Memory now: available, total, and resident of this process."""
    memory = psutil.virtual_memory()
    available, total = float(memory.available), float(memory.total)
    limit, used = container_memory()
    if limit < total:
        available, total = min(available, limit - used), limit
    return Memory(available / 2**20, total / 2**20, psutil.Process().memory_info().rss / 2**20)


def container_memory(folder: Path = Path("/sys/fs/cgroup")) -> tuple[float, float]:
    """Memory of the container that this process runs in, in bytes.

    Args:
        folder: Where control groups are mounted.

    Returns:
        The limit, infinite without one, and what of it is used, without the file cache that the kernel would free.
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
    """NVIDIA GPUs; none without nvidia-ml-py or a driver."""
    return [gpu.name for gpu in _gpus()]


class _Gpu(NamedTuple):
    name: str
    memory_mb: float
    percent: float


def _gpus() -> list[_Gpu]:
    """Name, memory used in MB, utilization in percent."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, no driver or no permission
        return []
    found = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        used = pynvml.nvmlDeviceGetMemoryInfo(handle).used / 2**20
        rate = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
        found.append(_Gpu(str(pynvml.nvmlDeviceGetName(handle)), float(used), float(rate)))
    return found


class Resources:
    """Samples what this process uses: resident memory in MB and its peak, CPU in percent of one core, GPUs."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._has_gpu = bool(_gpus())

    def sample(self) -> dict[str, float]:
        """What is used now, by name: ``rss_mb``, ``cpu_percent``, and of each GPU its memory and utilization."""
        found = {
            "rss_mb": round(self._process.memory_info().rss / 2**20, 1),
            "cpu_percent": self._process.cpu_percent(),
        }
        if self._has_gpu:
            for index, (_, memory, rate) in enumerate(_gpus()):
                found |= {f"gpu_{index}_memory_mb": round(memory, 1), f"gpu_{index}_percent": rate}
        return found


class Load:
    """What other programs use of the processor from now on."""

    def __init__(self) -> None:
        self._began, self._own = psutil.cpu_times(), sum(psutil.Process().cpu_times()[:2])

    def of_others(self) -> float:
        """The share of all cores, from 0 to 1, that others used since this was made."""
        now, own = psutil.cpu_times(), sum(psutil.Process().cpu_times()[:2])
        passed = {name: getattr(now, name) - getattr(self._began, name) for name in now._fields}
        passed = {name: value for name, value in passed.items() if not name.startswith("guest")}
        idle = passed.get("idle", 0.0) + passed.get("iowait", 0.0)
        whole = sum(passed.values())
        return round(min(1.0, max(0.0, whole - idle - (own - self._own)) / whole), 3) if whole > 0 else 0.0


def peak_memory_mb() -> float:
    """The peak of this process's resident memory, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():  # on Linux, where a process inherits the peak that getrusage reports from its parent
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**10
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset / 2**20)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


ISA = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16", "asimddp", "i8mm", "bf16")
"""Instruction sets that matter for matrix products, as Linux names them."""


def isa() -> list[str]:
    """Those of ``ISA`` that this CPU has; an empty list on other systems than Linux."""
    if sys.platform != "linux":
        return []
    words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    return [name for name in ISA if name in words]


def npu_names() -> list[str]:
    """NPUs with a Linux driver."""
    return sorted(entry.name for entry in Path("/sys/class/accel").glob("accel*")) if sys.platform == "linux" else []


def providers() -> list[str]:
    """onnxruntime's execution providers on this machine."""
    try:
        without_telemetry()
        import onnxruntime
    except ImportError:
        return []
    return [str(name) for name in onnxruntime.get_available_providers()]
