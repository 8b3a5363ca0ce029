"""What ``auto-opt`` and ``generate-adapter`` print: the bundle that was made, from its manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from graft.cli.console import Console
from graft.cli.progress import Screen
from graft.errors import GateError
from graft.report.bundle import bundle_summary, print_bundle
from graft.runs.kind import is_bundle

WIDTH = 80


def print_export(export: Callable[[Screen], Path], as_json: bool) -> int:
    """Run ``export``, and print the bundle that it made, also if it did not pass the gate.

    Raises:
        GateError: If it did not.
    """
    failure: GateError | None = None
    with Screen(quiet=as_json) as screen:
        try:
            folder = export(screen)
        except GateError as error:
            failure, folder = error, Path(error.problems[0].where)
    if is_bundle(folder):
        if as_json:
            print(json.dumps(bundle_summary(folder), ensure_ascii=False, indent=2))
        else:
            print_bundle(folder, _console())
    if failure is not None:
        raise failure
    return 0


def _console() -> Console:
    console = Console()
    if not console.is_terminal:  # a file or a pipe has no width
        console.width = WIDTH
    return console
