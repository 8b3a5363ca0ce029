"""What the fuzzers and kill tests share: how many rounds, what may be raised, and the figures of docs/reliability.md.

``GRAFT_TORTURE`` multiplies the rounds (``make torture``); ``GRAFT_TORTURE_REPORT`` names a file to which each test
appends a JSON line with its figures.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from graft.errors import GraftError

FACTOR = float(os.environ.get("GRAFT_TORTURE", "1"))
REPORT = os.environ.get("GRAFT_TORTURE_REPORT")


def rounds(short: int) -> int:
    """The number of rounds: ``short`` in ``make test``, many times that in ``make torture``."""
    return max(1, round(short * FACTOR))


@dataclass
class Tally:
    """Counts what was tried in one class of inputs, and what went wrong; ``report`` fails when anything did."""

    tried: int = 0
    accepted: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)

    @contextmanager
    def case(self, name: object) -> Iterator[None]:
        """One input: it may be accepted or refused by a GraftError that says something; nothing else may be raised."""
        self.tried += 1
        try:
            yield
            self.accepted += 1
        except GraftError as error:
            said = str(error)
            if not said.strip() or "this is a bug in graft" in said:
                self.faults.append(f"{name}: refused without a reason: {said!r}")
            self.refused += 1
        except Exception as error:
            self.faults.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")

    def command(self, name: object, code: int, stderr: str) -> None:
        """One command line: exit 0 to 3, no traceback, and a reason where it was refused."""
        self.tried += 1
        if code not in {0, 1, 2, 3} or "Traceback" in stderr or "this is a bug in graft" in stderr:
            self.faults.append(f"{name}: exit {code}: {stderr[-300:]}")
        elif code and "error: " not in stderr:
            self.faults.append(f"{name}: exit {code} without a reason")
        self.accepted += code == 0
        self.refused += code != 0


@contextmanager
def tally(what: str) -> Iterator[Tally]:
    """The figures of a class of inputs, recorded for the docs, and an assertion that nothing went wrong."""
    found, began = Tally(), time.monotonic()
    yield found
    if REPORT:
        figures = {"class": what, "tried": found.tried, "accepted": found.accepted, "refused": found.refused}
        figures |= {"faults": len(found.faults), "seconds": round(time.monotonic() - began, 1)}
        with Path(REPORT).open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")
    assert found.tried and not found.faults, f"{len(found.faults)} of {found.tried}:\n" + "\n".join(found.faults[:20])
