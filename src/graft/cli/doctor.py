"""graft doctor."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from graft.cli.arguments import Arguments
from graft.config import Settings
from graft.errors import InputError
from graft.runs.folder import RunFolder

SETTINGS: tuple[type[Settings], ...] = ()


def run(arguments: Arguments) -> int:
    as_json = arguments.flag("json")
    if len(arguments.words) != 1 or arguments.options:
        raise InputError("which run?", remedy="graft doctor RUN [--json]")
    folder = RunFolder.open(Path(arguments.words[0]))
    from graft.report.doctor import diagnose
    from graft.report.summary import sentence
    from graft.runs.view import RunView

    view = RunView.read(folder.path)
    found = diagnose(view, at_work=view.status == "running" and _at_work(folder))
    if as_json:
        document = {"run": str(folder.path), "status": view.status, "findings": [asdict(finding) for finding in found]}
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return 0
    print(f"{view.title} ({view.status}): {sentence(view)}")
    if not found:
        print("\nNothing to complain of: no sign of trouble in its curves, its memory, its speed or its scores.")
    for number, finding in enumerate(found, 1):
        print(f"\n{number}. {finding.title[:1].upper()}{finding.title[1:]}")
        print("".join(f"   evidence: {line}\n" for line in finding.evidence), end="")
        print("".join(f"   try: {line}\n" for line in finding.remedies), end="")
    return 0


def _at_work(folder: RunFolder) -> bool:
    """Whether a process holds the folder."""
    try:
        with folder.lock():
            return False
    except InputError:
        return True
