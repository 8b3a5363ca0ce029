"""The cache: whole or not at all, by one process at a time, and repaired when it is damaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from graft.errors import GraftError
from graft.models.cache import cache_folder, filled
from graft.models.weights import file_sha256, sha256_of


def _fill(folder: Path) -> None:
    (folder / "model").write_text("weights", encoding="utf-8")


def _intact(folder: Path) -> bool:
    return (folder / "model").is_file()


WORKER = """
import os, sys, time
from pathlib import Path
from graft.models.cache import filled

def fill(folder):
    with (folder.parent / "fills.log").open("a", encoding="utf-8") as log:
        log.write(f"{os.getpid()}\\n")
    time.sleep(0.5)
    (folder / "model").write_text("weights", encoding="utf-8")

filled(Path(sys.argv[1]), fill, lambda folder: (folder / "model").is_file())
"""


def test_two_processes_fill_once(tmp_path: Path) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path / "m")]) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert len((tmp_path / "fills.log").read_text(encoding="utf-8").split()) == 1
    assert (tmp_path / "m" / "model").read_text(encoding="utf-8") == "weights"


def test_failed_fill_leaves_nothing(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "half").write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filled(tmp_path / "m", broken, _intact)
    assert [entry.name for entry in tmp_path.iterdir()] in (["m.lock"], [])


def test_full_disk_is_said(tmp_path: Path) -> None:
    def no_room(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(GraftError, match=r"No space left(?s:.)*GRAFT_CACHE"):
        filled(tmp_path / "m", no_room, _intact)


def test_damaged_folder_is_filled_anew(tmp_path: Path) -> None:
    filled(tmp_path / "m", _fill, _intact)
    (tmp_path / "m" / "model").unlink()
    filled(tmp_path / "m", _fill, _intact)
    assert _intact(tmp_path / "m")


def test_hashes_are_remembered_until_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first = sha256_of([file])
    assert first == file_sha256(file)
    assert len(list((cache_folder() / "hashes").iterdir())) == 1
    assert sha256_of([file]) == first
    file.write_bytes(b"other")
    assert sha256_of([file]) == file_sha256(file) != first
