"""The run folder: one manifest, files that are whole or not there, one owner at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from graft.errors import InputError
from graft.files import append_line, write_whole

MANIFEST = "manifest.json"
PARTS = ("data", "model", "adapter", "checkpoints", "logs")
FILES = (
    MANIFEST,
    "config.yaml",
    "overfitting.yaml",
    "divergence.yaml",
    "metrics.jsonl",
    "evaluation.json",
    "predictions.jsonl",
    "report.html",
    "README.md",
)


def check_folder(path: Path) -> None:
    """Whether ``path`` is a folder or can become one.

    Raises:
        InputError: when it, or what should hold it, is a file.
    """
    above = next((folder for folder in (path, *path.parents) if folder.exists()), path)
    if above.exists() and not above.is_dir():
        what = "the output folder is a file" if above == path else f"{above} is a file, so it can hold no folder"
        raise InputError(what, where=str(path), remedy="choose another --output_path")


class RunFolder:
    """A folder with a manifest. ``create`` for a new run, ``open`` for one that is there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, overwrite: bool = False, resume: bool = False) -> RunFolder:
        """A folder for a run. What ``overwrite`` removes is the run that was there, and nothing else.

        Raises:
            InputError: when another run is in it, or files that are no run's.
        """
        run = cls(path)
        run.check_free(overwrite, resume)
        if overwrite and not resume and run.manifest:
            with run.lock():
                run._clear()
        path.mkdir(parents=True, exist_ok=True)
        return run

    def check_free(self, overwrite: bool = False, resume: bool = False) -> None:
        """Whether a run may go here. Writes nothing.

        Raises:
            InputError: when another run or another process is in it, or files that are no run's.
        """
        path, place = self.path, str(self.path)
        check_folder(path)
        there = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
        if ".lock" in there:
            with self.lock():
                pass
        if MANIFEST in there and not (overwrite or resume):
            raise InputError(
                f"there is a run in this folder already ({self.manifest.get('status')})",
                where=place,
                remedy="--overwrite replaces it, --resume goes on with it, or choose another --output_path",
            )
        others = sorted(there - {".lock"})
        if others and MANIFEST not in there and not (resume and "config.yaml" in there):
            raise InputError(
                f"the output folder holds files that are no run's: {', '.join(others[:5])}",
                where=place,
                remedy="choose another --output_path, or empty it yourself",
            )

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The run in ``path``.

        Raises:
            InputError: when there is none.
        """
        if not (path / MANIFEST).is_file():
            raise InputError("this is not a run folder: there is no manifest.json in it", where=str(path))
        return cls(path)

    def _clear(self) -> None:
        for name in PARTS:
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in FILES:
            (self.path / name).unlink(missing_ok=True)

    @property
    def manifest(self) -> dict[str, Any]:
        path = self.path / MANIFEST
        if not path.is_file():
            return {}
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document

    def update_manifest(self, **values: Any) -> None:
        self.write_json(MANIFEST, {**self.manifest, **values})

    def write_json(self, name: str, document: Any) -> None:
        self.write_text(name, json.dumps(document, ensure_ascii=False, indent=2, default=str) + "\n")

    def write_text(self, name: str, text: str) -> None:
        write_whole(self.path / name, text)

    def append_metrics(self, line: dict[str, Any]) -> None:
        """One line more in metrics.jsonl."""
        append_line(self.path / "metrics.jsonl", json.dumps(line))

    def truncate_metrics(self, step: int) -> None:
        """Forget what was logged after ``step``: a resumed run logs it again. A line cut short goes, too."""
        path = self.path / "metrics.jsonl"
        if not path.is_file():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError):
                continue
        self.write_text("metrics.jsonl", "".join(kept))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            InputError: when another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                "another graft is working in this folder",
                where=str(self.path),
                remedy="wait for it, stop it, or choose another --output_path",
            ) from None
        try:
            yield
        finally:
            lock.release()
