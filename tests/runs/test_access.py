"""A run that belongs to another user, or is on media that cannot be written to."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from graft.config import DataSettings
from graft.documents import NotPermitted
from graft.errors import InputError
from graft.models.gguf_scan import scan
from graft.report import card, print_run
from graft.runs.folder import RunFolder
from graft.runs.manifest import read_run
from graft.runs.view import RunView
from graft.tasks import TASKS
from graft.tasks.evaluation_rows import load_evaluation_rows

FIXTURES = Path(__file__).parents[1] / "fixtures"
only_root = pytest.mark.skipif(
    not hasattr(os, "seteuid") or os.geteuid() != 0, reason="only root can become another user"
)


@contextmanager
def another_user(folder):
    """Within, this process is a user who owns nothing in ``folder``, but can enter it."""
    for place in (folder, *folder.parents[:-2]):
        place.chmod(place.stat().st_mode | 0o11)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def run(tmp_path):
    made = Path(shutil.copytree(FIXTURES / "run-0.1", tmp_path / "run"))
    for file in (made / "predictions.jsonl", *(made / "data").glob("*.jsonl")):
        file.chmod(0o600)
    return made


def shown(run):
    written = StringIO()
    print_run(run, Console(file=written, width=1000))
    return written.getvalue()


@only_root
def test_a_run_is_shown_to_a_user_who_may_not_read_its_rows(run):
    mine, page = shown(run), card.render(RunView.read(run))
    with another_user(run):
        theirs = shown(run)
        assert card.render(RunView.read(run)).count("\n") > page.count("\n") / 2
    assert "note:" not in mine and "Tuning fixed" in mine and "Tuning fixed" not in theirs
    assert f"note: {run}/predictions.jsonl: cannot read this file: Permission denied" in theirs
    assert f"chmod -R g+rX {run}\n" in theirs and "but this user may not read them" not in theirs
    assert mine.splitlines()[:3] == theirs.splitlines()[:3]


@only_root
def test_weights_that_a_user_may_not_read_are_not_called_missing(run):
    (run / "model" / "model.safetensors").chmod(0o600)
    with another_user(run):
        assert "are in " in (said := shown(run)) and "but this user may not read them" in said
    assert "are not in" not in said


@only_root
def test_an_evaluation_names_the_rows_that_it_may_not_read(run):
    task = TASKS.get("text-generation")
    assert load_evaluation_rows(RunFolder(run), None, DataSettings(), task).examples
    with (
        another_user(run),
        pytest.raises(NotPermitted, match=r"eval\.jsonl: cannot read .*: Permission denied\n.*chmod"),
    ):
        load_evaluation_rows(RunFolder(run), None, DataSettings(), task)


@only_root
def test_a_run_of_another_user_is_running_as_long_as_its_manifest_says_so(run):
    folder = RunFolder(run)
    with folder.lock():
        folder.update_manifest(status="running")
        with another_user(run):
            assert folder.status == RunView.read(run).status == "running"
    assert folder.status == "interrupted"
    with another_user(run):
        assert folder.status == "running"  # it cannot ask, and the manifest is all there is


@only_root
def test_a_run_on_read_only_media_is_run_by_no_process(run):
    RunFolder(run).update_manifest(status="running")
    with RunFolder(run).lock():
        pass
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    code = (
        "import pathlib, sys; from graft.runs.folder import RunFolder as F; print(F(pathlib.Path(sys.argv[1])).status)"
    )
    words = ["unshare", "--mount", "sh", "-c", mount, str(run)]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine mounts nothing read-only")
    done = subprocess.run([*words, sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=True)
    assert read_run(run).status == "running" and done.stdout.strip() == "interrupted"


@only_root
@pytest.mark.parametrize("closed", ["model.gguf", "."])
def test_a_gguf_file_without_permission_is_not_called_damaged(tmp_path, closed):
    folder = tmp_path / "models"
    folder.mkdir()
    file = folder / "model.gguf"
    file.write_bytes(b"GGUF")
    (folder / closed).chmod(0)
    with another_user(tmp_path), pytest.raises(InputError) as caught:
        scan(file)
    assert str(caught.value) == f"{file}: cannot read this file: Permission denied"
