"""An environment of its own for each peer, made once, under graft's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from graft.models.cache import cache_folder

REQUIREMENTS = Path(__file__).parent / "peers"


def python_of(name: str) -> Path:
    folder = cache_folder() / "bench" / name
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def is_ready(name: str) -> bool:
    """Whether the environment holds just what the requirement file says."""
    stamp = python_of(name).parents[1] / "requirements.txt"
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _requirements(name)


def ready(name: str) -> Path:
    """The Python of the environment, which is made first where it is not there; ``graft`` is this one."""
    if name == "graft":
        return Path(sys.executable)
    python = python_of(name)
    if not is_ready(name):
        folder = python.parents[1]
        print(f"making the environment of {name} in {folder}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        subprocess.run(
            [*pip, "--requirement", str(REQUIREMENTS / f"{name}.txt")], check=True, stdout=sys.stderr, env=environment
        )
        (folder / "requirements.txt").write_text(_requirements(name), encoding="utf-8")
    return python


def _requirements(name: str) -> str:
    return (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
