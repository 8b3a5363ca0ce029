"""What another user of the machine put into a cache is neither run nor believed."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from torture import tally

from graft.engine.benchmark import ENGINES, _cached
from graft.engine.kernels import build
from graft.errors import InputError
from graft.files import HOUR, TEMPORARY
from graft.models.cache import filled
from graft.models.weights import file_sha256, sha256_of
from graft.ownership import is_private, private_folder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no POSIX owners here")
STRANGER = 12345
as_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")

COMPILER = """#!/bin/sh
for last in "$@"; do :; done
echo compiled >> "$0.log"
echo "compiled here" > "$last"
"""


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that counts its calls; the cache is ``tmp_path / "cache"``."""
    if sys.platform == "win32":
        pytest.skip("there are no kernels on Windows")
    script = tmp_path / "c++"
    script.write_text(COMPILER, encoding="utf-8")
    script.chmod(0o700)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    return script


def calls(compiler: Path) -> int:
    return len(Path(f"{compiler}.log").read_text(encoding="utf-8").splitlines())


def planted(compiler: Path) -> Path:
    """The library in the cache, with other content than the compiler gave it."""
    library = build._compiled(str(compiler))
    library.write_text("planted", encoding="utf-8")
    return library


def test_the_kernel_cache_is_private_and_used_again(compiler: Path) -> None:
    library = build._compiled(str(compiler))
    assert is_private(library) and library.parent.stat().st_mode & 0o777 == 0o700
    assert build._compiled(str(compiler)) == library and calls(compiler) == 1


def test_what_a_killed_compilation_left_is_removed_by_the_next(compiler: Path) -> None:
    library = build._compiled(str(compiler))
    library.unlink()
    left, running = (library.parent / f"{name}{TEMPORARY}" for name in ("left", "running"))
    for folder in (left, running):
        folder.mkdir()
        (folder / "kernels.cpp").write_text("", encoding="utf-8")
    os.utime(left, (time.time() - HOUR - 60,) * 2)
    build._compiled(str(compiler))
    assert not left.exists() and running.is_dir()


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o702])
@pytest.mark.parametrize("above", [0, 1])
def test_a_kernel_in_a_folder_that_others_can_write_to_is_not_loaded(compiler: Path, above: int, mode: int) -> None:
    folder = planted(compiler).parents[above]
    folder.chmod(mode)
    loaded, reason = build._loaded.__wrapped__()
    assert loaded is None and reason and "other users can change" in reason and "GRAFT_CACHE" in reason


@as_root
@pytest.mark.parametrize("above", [0, 1])
def test_a_kernel_in_a_folder_of_another_user_is_not_loaded(compiler: Path, above: int) -> None:
    os.chown(planted(compiler).parents[above], STRANGER, STRANGER)
    loaded, reason = build._loaded.__wrapped__()
    assert loaded is None and reason and "other users can change" in reason


@as_root
def test_a_kernel_that_another_user_wrote_is_compiled_again(compiler: Path) -> None:
    library = planted(compiler)
    os.chown(library, STRANGER, STRANGER)
    build._compiled(str(compiler))
    assert calls(compiler) == 2 and is_private(library)
    assert library.read_text(encoding="utf-8") == "compiled here\n"


def test_a_kernel_that_others_can_write_to_is_compiled_again(compiler: Path) -> None:
    library = planted(compiler)
    library.chmod(0o777)
    build._compiled(str(compiler))
    assert library.read_text(encoding="utf-8") == "compiled here\n"


def test_a_link_in_the_cache_is_judged_by_what_it_leads_to(tmp_path: Path) -> None:
    with tally("caches of other users") as figures:
        for mode, trusted in ((0o700, True), (0o755, True), (0o777, False), (0o1777, False), (0o702, False)):
            figures.tried += 1
            folder = tmp_path / f"{mode:o}"
            folder.mkdir()
            (folder / "file").write_text("x", encoding="utf-8")
            folder.chmod(mode)
            link = tmp_path / f"link-{mode:o}"
            link.symlink_to(folder)
            # Of a file in a sticky folder nobody else can take the place.
            if is_private(link) != trusted or is_private(link / "file") != (trusted or mode == 0o1777):
                figures.faults.append(oct(mode))
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    assert not is_private(circle) and not is_private(tmp_path / "absent")


def test_a_folder_that_others_can_write_to_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(InputError, match=r"other users can change(?s:.)*GRAFT_CACHE"):
        private_folder(tmp_path / "open" / "models")
    with pytest.raises(InputError, match="other users can change"):
        filled(tmp_path / "open" / "model", lambda folder: None, lambda folder: True)


def test_a_model_cache_in_an_open_place_is_used_and_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Seen: graft made the folder itself, and refused it because a volume of Kubernetes is open above it."""
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    folder = volume / "graft" / "models" / "m"
    made: list[Path] = []
    for _ in range(2):
        assert filled(folder, made.append, lambda there: True) == folder
    assert len(made) == 1 and folder.parent.stat().st_mode & 0o777 == 0o700
    assert [record.getMessage().count(str(volume)) for record in caplog.records] == [1]
    folder.chmod(0o777)
    filled(folder, made.append, lambda there: True)
    assert len(made) == 2
    with pytest.raises(InputError) as caught:  # code is not taken from there
        private_folder(volume / "graft" / "kernels")
    said = str(caught.value)
    assert f"because {volume} is open to them" in said and f"chmod go-w {volume}, or set GRAFT_CACHE" in said


@as_root
def test_a_model_that_another_user_put_into_an_open_place_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "m"
    filled(folder, lambda there: None, lambda there: True)
    os.chown(folder.parent, STRANGER, STRANGER)
    with pytest.raises(InputError, match="set GRAFT_CACHE") as caught:
        filled(folder, lambda there: None, lambda there: True)
    assert "chmod" not in str(caught.value)


def test_a_converted_model_that_others_could_have_written_is_converted_again(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "m"
    filled(folder, lambda there: (there / "weights").touch(), lambda there: (there / "weights").is_file())
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    made: list[Path] = []
    filled(folder, made.append, lambda there: True)
    assert made and is_private(folder)


def test_a_hash_that_others_could_have_written_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights"
    file.write_bytes(b"weights")
    true = sha256_of([file])
    assert true == file_sha256(file)
    (memory,) = (tmp_path / "cache" / "hashes").iterdir()
    memory.write_text("0" * 64, encoding="utf-8")
    assert sha256_of([file]) == "0" * 64  # it is this user's own
    memory.chmod(0o666)
    assert sha256_of([file]) == true
    memory.write_text("0" * 64, encoding="utf-8")
    memory.parent.chmod(0o777)
    assert sha256_of([file]) == true


def test_figures_that_others_could_have_written_are_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "engines.json"
    path.write_text(json.dumps(dict.fromkeys(ENGINES, 1.0)), encoding="utf-8")
    assert _cached(path) == dict.fromkeys(ENGINES, 1.0)
    path.chmod(0o666)
    assert _cached(path) is None
