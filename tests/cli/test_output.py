"""Failures of standard output, of standard error and of files: each is said of what failed."""

import errno
import io
import os
import sys
from pathlib import Path

import pytest

from graft.cli.main import main
from graft.cli.output import GuardedStream, OutputError, plain_output

BREAKS = """
import errno, os
from graft.cli.command import Command

def full(arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "weights.bin")

def pipe(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        os.write(writing, b"to a process that has ended")
    finally:
        os.close(writing)

FULL, PIPE = Command("breaks-full", full), Command("breaks-pipe", pipe)
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of another package that fail as files and pipes do."""
    (tmp_path / "breaks.py").write_text(BREAKS, encoding="utf-8")
    info = tmp_path / "breaks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: breaks\nVersion: 1.0\n", encoding="utf-8")
    points = "[graft.command]\nbreaks-full = breaks:FULL\nbreaks-pipe = breaks:PIPE\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_a_full_disk_is_not_blamed_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["breaks-full"]) == 1
    said = capsys.readouterr().err
    assert "the disk is full" in said and "weights.bin" in said
    assert "standard output" not in said and "bug in graft" not in said


@pytest.mark.usefixtures("installed")
def test_a_pipe_that_breaks_elsewhere_ends_no_command_as_if_it_were_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["breaks-pipe"]) == 1
    assert "BrokenPipeError" in capsys.readouterr().err


@pytest.fixture
def gone() -> io.TextIOWrapper:
    reading, writing = os.pipe()
    os.close(reading)
    return io.TextIOWrapper(io.FileIO(writing, "w"), encoding="utf-8", write_through=True)


def test_what_cannot_be_printed_is_told_from_files_and_what_cannot_be_noted_is_dropped(gone: io.TextIOWrapper) -> None:
    assert GuardedStream(gone, is_needed=False).write("a note") == 6
    with pytest.raises(OutputError) as failed:
        GuardedStream(gone, is_needed=True).write("a result")
    assert failed.value.reason.errno == errno.EPIPE and not isinstance(failed.value, OSError)


def test_a_reader_that_leaves_ends_a_command_without_an_error(
    gone: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", gone)
    assert main(["--help"]) == 0
    monkeypatch.setattr(sys, "stdout", gone)
    assert main(["show", "no-run", "--json"]) == 0  # an error is written to it as well
    assert "Traceback" not in capsys.readouterr().err


def test_whatever_printed_to_them_has_its_streams_back(gone: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", gone)
    with plain_output():
        print("to nobody", file=sys.stderr, flush=True)
    assert sys.stderr is gone
