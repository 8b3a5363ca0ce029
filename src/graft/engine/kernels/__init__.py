"""The hot loops in C++, compiled on the machine that runs them; without a compiler PyTorch's own operations serve."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.models.cache import cache_folder

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
SWITCH = "GRAFT_KERNELS"
"""The environment variable: 0 does without; a processor's name (haswell) compiles for it in the place of this one."""
FLAGS = ("-O3", "-std=c++17", "-fopenmp", "-fno-math-errno", "-shared", "-fPIC")
SECONDS = 120


class Kernels:
    """The compiled functions. Tensors are dense, of one type (float32 or float64), and on the CPU."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._functions: dict[tuple[str, torch.dtype | None], Any] = {}

    def has(self, name: str) -> bool:
        """Whether this processor has what the function needs: such are not compiled elsewhere."""
        return hasattr(self._library, name)

    @property
    def tiles(self) -> bool:
        """Whether there are matrix tiles (AMX), and the system lends them."""
        return bool(self._library.tiles_ready())

    def give_back(self) -> int:
        """Ends what the calling thread keeps from call to call: bytes."""
        function = self._library.give_back
        function.restype = ctypes.c_int64
        return int(function())

    def __call__(self, name: str, kind: torch.dtype | None, *values: Any) -> None:
        """Tensors go as pointers, None as a null one, whole numbers of 64 bits as ``wide``, all else by what it is."""
        function = self._functions.get((name, kind)) or self._found(name, kind)
        function(*[value if type(value) in _AS_THEY_ARE else _passed(value) for value in values])

    def _found(self, name: str, kind: torch.dtype | None) -> Any:
        import torch

        function = getattr(self._library, name + {torch.float32: "_f32", torch.float64: "_f64", None: ""}[kind])
        function.restype = None
        self._functions[name, kind] = function
        return function


wide = ctypes.c_int64
_AS_THEY_ARE = {int, ctypes.c_int64}


def _passed(value: Any) -> Any:
    if value is None:
        return ctypes.c_void_p()
    if isinstance(value, ctypes.Array):
        return value
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_void_p(value.data_ptr())


def kernels() -> Kernels | None:
    """The compiled functions, built at the first call (a few seconds) and kept in the user's cache; None without."""
    return None if os.environ.get(SWITCH) == "0" else _loaded()[0]


def kernels_missing() -> str | None:
    """Why the compiled functions are not there; None where they are."""
    return f"{SWITCH} is 0" if os.environ.get(SWITCH) == "0" else _loaded()[1]


@lru_cache(maxsize=1)
def _loaded() -> tuple[Kernels | None, str | None]:
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if sys.platform == "win32":
        return None, "they are not built on Windows"
    if compiler is None:
        return None, "there is no C++ compiler, g++ or clang++"
    try:
        return Kernels(_built(compiler)), None
    except (OSError, subprocess.SubprocessError) as error:
        log.info("the engine's C++ part was not compiled (%s): PyTorch's operations serve", error)
        return None, f"they were not compiled: {error}"


def _built(compiler: str) -> Path:
    parts = sorted(files("graft.engine.kernels").iterdir(), key=lambda part: part.name)
    texts = {part.name: part.read_text(encoding="utf-8") for part in parts if part.name.endswith((".cpp", ".h"))}
    target = os.environ.get(SWITCH, "")
    command = [compiler, *FLAGS, f"-march={target if target not in ('', '1') else 'native'}"]
    key = hashlib.sha256("\n".join([*texts.values(), *command, _processor()]).encode()).hexdigest()[:16]
    folder = cache_folder() / "kernels"
    built = folder / f"{key}.so"
    if not built.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            made = Path(place) / "kernels.so"
            for name, text in texts.items():
                (Path(place) / name).write_text(text, encoding="utf-8")
            sources = [str(Path(place) / name) for name in texts if name.endswith(".cpp")]
            whole = [*command, *sources, "-o", str(made)]
            done = subprocess.run(whole, capture_output=True, text=True, timeout=SECONDS, check=False)
            if done.returncode:
                raise OSError(f"{compiler}: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
            made.replace(built)
    return built


def _processor() -> str:
    """What -march=native depends on: a home may be shared by machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
