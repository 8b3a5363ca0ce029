"""Starts commands of graft by forking a process that has imported it already, so that a hundred of them take minutes.

As a program it reads lines of JSON. A list has a command's words, the file that gets what it prints, and, or null, the
largest size of a file that it may write and a folder for temporary files; the answer is the process id. An id is
answered with how that one ended.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

LOADED = ("graft.commands.finetune", "graft.commands.evaluate", "graft.commands.export", "graft.training.loop", "peft")


class Graft:
    """Commands in processes of their own, which may be limited and killed. It is a context manager."""

    def __init__(self, folder):
        self.folder, self.number = folder, 0

    def __enter__(self):
        command = [sys.executable, __file__]
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.server.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *error):
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()

    def _ask(self, request):
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def start(self, words, largest=None, temporary=None):
        """Start a command; its process's id, and the file with what it prints."""
        self.number += 1
        output = self.folder / f"printed-{self.number}"
        return self._ask([[*map(str, words)], str(output), largest, temporary and str(temporary)]), output

    def ended(self, process):
        """Wait for a process; its exit code, or the negative number of the signal."""
        return self._ask(process)

    def tried(self, *words, largest=None, temporary=None):
        """The exit code of a command, and what it prints."""
        process, output = self.start(words, largest, temporary)
        code = self.ended(process)
        return code, output.read_text(encoding="utf-8")

    def run(self, *words):
        """What a command prints that must succeed."""
        code, said = self.tried(*words)
        assert code == 0, f"{' '.join(map(str, words))}: exit {code}: {said[-500:]}"
        return said

    def killed(self, words, seconds):
        """Start a command and kill it; whether it was killed before its end."""
        process, _ = self.start(words)
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)  # it is a zombie at worst: nobody else waits for it
        return self.ended(process) == -signal.SIGKILL

    def status(self, run):
        """The status of a run as `graft show` says it."""
        return json.loads(self.run("show", run, "--json"))["status"]


def _become(words, output, largest, temporary):
    """Be the command, in the forked process."""
    from graft.cli.main import main

    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    if temporary is not None:
        tempfile.tempdir = temporary
    if largest is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    code = main(words)
    sys.stdout.flush()
    os._exit(code)


def _serve():
    for name in LOADED:
        importlib.import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if isinstance(request, int):
            print(os.waitstatus_to_exitcode(os.waitpid(request, 0)[1]), flush=True)
            continue
        child = os.fork()
        if not child:
            _become(*request)
        print(child, flush=True)


if __name__ == "__main__":
    _serve()
