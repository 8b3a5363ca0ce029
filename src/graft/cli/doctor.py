"""graft doctor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from graft.cli.arguments import Arguments
from graft.cli.command import Command
from graft.errors import InputError

if TYPE_CHECKING:
    from graft.report.doctor import Finding

USAGE = "graft doctor RUN_OR_BUNDLE [--json]"


def run(arguments: Arguments) -> int:
    """Print what is wrong with a run or a bundle, with evidence and remedies.

    Raises:
        InputError: If the folder is of another kind.
    """
    as_json = arguments.flag("json")
    if len(arguments.words) != 1 or arguments.options:
        raise InputError("give one run or bundle", remedy=USAGE)
    from graft.runs.kind import FolderKind, expect_kind

    folder = Path(arguments.words[0])
    if expect_kind(folder, (FolderKind.RUN, FolderKind.BUNDLE)) is FolderKind.BUNDLE:
        return _bundle(folder, as_json)
    return _run(folder, as_json)


def _run(folder: Path, as_json: bool) -> int:
    from graft.report.doctor import diagnose
    from graft.report.summary import sentence
    from graft.runs.view import RunView

    view = RunView.read(folder)
    healthy = "No problems found in the loss curves, memory, speed and scores."
    heading = f"{view.title} ({view.status}): {sentence(view)}"
    return _print({"run": str(folder), "status": view.status}, heading, diagnose(view), healthy, as_json)


def _bundle(folder: Path, as_json: bool) -> int:
    from graft.report.bundle_doctor import diagnose_bundle
    from graft.runs.manifest import read_bundle

    manifest = read_bundle(folder)
    healthy = "No problems found: the bundle passed the comparison with the PyTorch model."
    heading = f"{folder.name} ({manifest.status}): {manifest.summary}"
    about = {"bundle": str(folder), "status": manifest.status}
    return _print(about, heading, diagnose_bundle(manifest), healthy, as_json)


def _print(about: dict[str, str], heading: str, findings: Sequence[Finding], healthy: str, as_json: bool) -> int:
    if as_json:
        document = {**about, "findings": [asdict(finding) for finding in findings]}
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return 0
    print(heading)
    if not findings:
        print(f"\n{healthy}")
    for number, finding in enumerate(findings, 1):
        print(f"\n{number}. {finding.title[:1].upper()}{finding.title[1:]}")
        print("".join(f"   evidence: {line}\n" for line in finding.evidence), end="")
        print("".join(f"   try: {line}\n" for line in finding.remedies), end="")
    return 0


COMMAND = Command(
    "doctor",
    run,
    usage="graft doctor RUN_OR_BUNDLE",
)
