"""Command lines on damaged folders in child processes, many in each: a case may hang, eat memory, or end the child."""

import base64
import contextlib
import faulthandler
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SECONDS = 60
"""A case that takes longer is held to hang."""
MEMORY = 16 * 2**30
"""Bytes of address space; torch alone maps several."""


class Case(NamedTuple):
    """A command on a copy of ``folder`` in which ``file`` has another content; FOLDER in ``words`` is the copy."""

    name: str
    words: list[str]
    folder: Path
    file: str
    content: bytes


def run_cases(cases, found, work):
    """Run each case and count it in the tally ``found``; a process that a case ended is started again behind it.

    Args:
        cases: The cases. The first of each folder is expected to be accepted: its file is not damaged.
        found: The tally.
        work: A folder to work in.
    """
    request = work / "cases.json"
    listed = [[c.words, str(c.folder), c.file, base64.b64encode(c.content).decode()] for c in cases]
    request.write_text(json.dumps(listed), encoding="utf-8")
    start = 0
    while start < len(cases):
        command = [sys.executable, __file__, str(request), str(start)]
        ended = subprocess.run(
            command, cwd=work, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False
        )
        for line in ended.stdout.splitlines():
            number, code, said = json.loads(line)
            found.command(cases[number].name, code, said)
            start = number + 1
        if start < len(cases):
            found.tried += 1
            found.faults.append(f"{cases[start].name}: ended the process ({ended.returncode}): {ended.stderr[-1500:]}")
            start += 1


def main():
    """Run the cases of a file from a number on, and print the exit code and stderr of each as a line of JSON."""
    from graft.cli.main import main as graft

    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    request, start = Path(sys.argv[1]), int(sys.argv[2])
    answers, copy = sys.stdout, request.parent / "copy"
    for number, (words, folder, file, content) in list(enumerate(json.loads(request.read_text("utf-8"))))[start:]:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        (copy / file).write_bytes(base64.b64decode(content))
        said = io.StringIO()
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = graft([word.replace("FOLDER", str(copy)) for word in words])
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps([number, code, said.getvalue()[-2000:]]), file=answers, flush=True)


if __name__ == "__main__":
    main()
