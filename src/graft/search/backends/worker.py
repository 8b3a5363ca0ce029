"""The process of a worker: reads what to run from standard input, and writes records to standard output."""

from __future__ import annotations

import _thread
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from graft.errors import GraftError, Interrupted
from graft.interruption import ending_by_signal
from graft.search.backends.workers import Task, described
from graft.search.board import FileBoard
from graft.search.study import Trial

SECONDS_TO_END = 8.0
INTERRUPTED = 130


def main() -> int:
    """Make the runner, then run the trials that are sent until standard input ends."""
    messages = _own_stdout()
    send: Callable[[dict[str, Any]], object] = lambda said: messages.write(json.dumps(said) + "\n")  # noqa: E731
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    try:
        with ending_by_signal():
            given = requests.get()
            name, consent = given.pop("name"), given.pop("consent")
            task = Task(**given, consent=None if consent is None else tuple(consent))
            runner = task.runner(FileBoard(Path(task.folder)))
            send({"ready": True})
            while True:
                sent = requests.get()["trial"]
                trial = Trial(sent["number"], sent["settings"], tuple(sent["before"]))
                send({"record": json.loads(task.run(runner, trial, name).model_dump_json())})
    except (KeyboardInterrupt, Interrupted):  # the study has ended
        return INTERRUPTED
    except GraftError as error:
        send({"failed": described(error)})
        return error.exit_code


def _own_stdout() -> TextIO:
    """Return standard output for messages alone: what libraries print goes to standard error."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return own


def _read(requests: queue.Queue[dict[str, Any]]) -> None:
    """Read requests; the end of standard input ends this process, also where the study's process was killed."""
    for line in sys.stdin:
        requests.put(json.loads(line))
    _thread.interrupt_main()
    time.sleep(SECONDS_TO_END)
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
