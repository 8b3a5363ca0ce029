"""Compiles the kernels for this processor, loads them, and compares their structures with the declared ones."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from graft.engine.kernels.signatures import SUFFIXES, declare
from graft.engine.kernels.structs import layout_difference
from graft.errors import InputError
from graft.files import TEMPORARY, is_old
from graft.models.cache import cache_folder
from graft.ownership import is_private, private_folder

if TYPE_CHECKING:
    from importlib.abc import Traversable

log = logging.getLogger(__name__)
SWITCH = "GRAFT_KERNELS"
"""The environment variable: 0 turns the kernels off; a processor's name (haswell) compiles them for that one."""
FLAGS = ("-O3", "-std=c++17", "-fopenmp", "-fno-math-errno", "-shared", "-fPIC")
STANDARD_LIBRARY = "-lc++" if sys.platform == "darwin" else "-lstdc++"
"""Named, as ``CXX`` may be the C driver (gcc, clang): that compiles C++, but does not link its library."""
TIMEOUT = 120
"""Seconds that the compiler may take."""


class Kernels:
    """The compiled functions: call it with a name, the tensors' type where the function exists by type, and arguments.

    Args:
        library: The compiled library.

    Raises:
        OSError: The library cannot be loaded, or its structures have another layout than ``structs`` declares.
    """

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        declare(self._library)
        difference = layout_difference(self._library.kernel_abi().decode("ascii"))
        if difference:
            raise OSError(f"structures of {library.name} differ from the declared ones: {difference}")
        self._functions: dict[tuple[str, torch.dtype | None], Any] = {}

    def has(self, name: str) -> bool:
        """Whether the function was compiled: some exist only where the processor has the instructions they need."""
        return hasattr(self._library, name)

    @property
    def amx(self) -> bool:
        """Whether the processor has matrix tiles (AMX) and the system grants them."""
        return bool(self._library.amx_available())

    def release_workspace(self) -> int:
        """Free what the calling thread keeps between calls; returns the number of bytes."""
        return int(self._library.release_workspace())

    def __call__(self, name: str, dtype: torch.dtype | None, *arguments: Any) -> None:
        """Call a function of ``signatures``.

        Args:
            name: Its name, without the suffix of the type.
            dtype: float32 or float64 where it exists for both; otherwise None.
            arguments: Numbers, tensors, structures; None is a null pointer.

        Raises:
            ctypes.ArgumentError: An argument is of another type or layout than declared.
        """
        function = self._functions.get((name, dtype))
        if function is None:
            function = getattr(self._library, name if dtype is None else name + SUFFIXES[dtype])
            self._functions[name, dtype] = function
        function(*arguments)


class _OnlyShapes(Kernels):
    """The kernels for tensors without content: it is reported what would be called, and nothing is computed."""

    def __init__(self, kernels: Kernels, called: Callable[[str, Sequence[Any]], None]) -> None:
        self._library, self._called = kernels._library, called

    def __call__(self, name: str, dtype: torch.dtype | None, *arguments: Any) -> None:
        self._called(name, arguments)


_only_shapes: ContextVar[Callable[[str, Sequence[Any]], None] | None] = ContextVar("only_shapes", default=None)


@contextlib.contextmanager
def only_shapes(called: Callable[[str, Sequence[Any]], None]) -> Iterator[None]:
    """Within the context no kernel computes, so that memory can be counted over tensors without content.

    Args:
        called: Is told the name and the arguments of each call.
    """
    token = _only_shapes.set(called)
    try:
        yield
    finally:
        _only_shapes.reset(token)


def computes() -> bool:
    """Whether tensors have content, and kernels compute."""
    return _only_shapes.get() is None


def kernels() -> Kernels | None:
    """The kernels, compiled at the first call (some seconds) and cached for the user; None where there are none."""
    found = None if os.environ.get(SWITCH) == "0" else _loaded()[0]
    called = _only_shapes.get()
    return found if found is None or called is None else _OnlyShapes(found, called)


def kernels_missing() -> str | None:
    """Why there are no kernels; None where there are."""
    return f"{SWITCH} is 0" if os.environ.get(SWITCH) == "0" else _loaded()[1]


def kernels_for(first: torch.Tensor, *others: torch.Tensor) -> Kernels | None:
    """The kernels, if all tensors are on the CPU and of one type, float32 or float64; otherwise None."""
    if first.dtype not in SUFFIXES or first.device.type != "cpu":
        return None
    for other in others:
        if other.dtype != first.dtype or other.device.type != "cpu":
            return None
    return kernels()


@lru_cache(maxsize=1)
def _loaded() -> tuple[Kernels | None, str | None]:
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if sys.platform == "win32":
        return None, "they are not supported on Windows"
    if compiler is None:
        return None, "no C++ compiler was found (g++ or clang++)"
    try:
        library = _compiled(compiler)
    except (OSError, subprocess.SubprocessError) as error:
        log.info("the engine's C++ part was not compiled (%s); using PyTorch operations instead", error)
        return None, f"they were not compiled: {error}"
    except InputError as error:
        log.warning("the engine's C++ part is not loaded, and PyTorch operations are used instead: %s", error)
        return None, f"they were not loaded: {error}"
    try:
        return Kernels(library), None
    except OSError as error:
        log.warning("the engine's C++ part was not loaded (%s); using PyTorch operations instead", error)
        return None, f"they were not loaded: {error}"


def _sources() -> dict[str, str]:
    """C++ files by their path below this package, in a fixed order."""
    found: dict[str, str] = {}

    def collect(folder: Traversable, prefix: str) -> None:
        for part in folder.iterdir():
            if part.is_dir():
                collect(part, f"{prefix}{part.name}/")
            elif part.name.endswith((".cpp", ".h")):
                found[prefix + part.name] = part.read_text(encoding="utf-8")

    collect(files("graft.engine.kernels"), "")
    return dict(sorted(found.items()))


def _compiled(compiler: str) -> Path:
    """The library for these sources, this compiler and this processor, from the cache or compiled now.

    Raises:
        InputError: If other users can change what is in the cache, from which code is loaded.
    """
    texts = _sources()
    target = os.environ.get(SWITCH, "")
    command = [compiler, *FLAGS, f"-march={target if target not in ('', '1') else 'native'}"]
    built_from = [*texts, *texts.values(), *command, STANDARD_LIBRARY, _processor()]
    key = hashlib.sha256("\n".join(built_from).encode()).hexdigest()[:16]
    library = private_folder(cache_folder() / "kernels") / f"{key}.so"
    if not is_private(library):  # it is not there, or another user could have put it there
        _compile(command, texts, library)
    return library.resolve()


def _compile(command: list[str], texts: dict[str, str], library: Path) -> None:
    _remove_left(library.parent)
    with tempfile.TemporaryDirectory(suffix=TEMPORARY, dir=library.parent) as name:
        folder = Path(name)
        for path, text in texts.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        sources = [str(folder / path) for path in texts if path.endswith(".cpp")]
        temporary = folder / "kernels.so"
        whole = [*command, *sources, STANDARD_LIBRARY, "-o", str(temporary)]
        done = subprocess.run(whole, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        if done.returncode:
            raise OSError(f"{command[0]}: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
        temporary.chmod(0o700)
        temporary.replace(library)


def _remove_left(folder: Path) -> None:
    """Remove what killed compilations left; one that runs ends within ``TIMEOUT``."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f"*{TEMPORARY}"):
            if is_old(path):
                shutil.rmtree(path, ignore_errors=True)


def _processor() -> str:
    """What -march=native depends on: machines may share a home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
