"""Prints the table of docs/explanation/reliability.md from the figures that `make torture` wrote."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HEAD = "| class | tried | accepted | refused with a reason | faults | seconds |\n|---|---:|---:|---:|---:|---:|"
COUNTS = ("tried", "accepted", "refused", "faults", "seconds")


def table(lines: list[str]) -> str:
    """Return the Markdown table; the figures of tests of one class are added."""
    sums: dict[str, dict[str, float]] = {}
    for line in lines:
        figures = json.loads(line)
        found = sums.setdefault(figures["class"], dict.fromkeys(COUNTS, 0.0))
        for name in COUNTS:
            found[name] += figures[name]
    rows = [f"| {name} | " + " | ".join(f"{found[key]:,.0f}" for key in COUNTS) + " |" for name, found in sums.items()]
    return "\n".join((HEAD, *rows))


if __name__ == "__main__":
    print(table(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()))
