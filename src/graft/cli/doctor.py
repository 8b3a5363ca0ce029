"""graft doctor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from graft.cli.arguments import Arguments
from graft.cli.command import CONFIG, Command
from graft.cli.data_words import data_named
from graft.cli.options import given_settings
from graft.cli.progress import Screen
from graft.config import Settings, build
from graft.errors import InputError
from graft.files import expanded

if TYPE_CHECKING:
    from graft.report.doctor import Finding

USAGE = "graft doctor DATA_OR_RUN_OR_BUNDLE [--option value …]"


def run(arguments: Arguments) -> int:
    """Print what is wrong with data, a run, or a bundle, with evidence and remedies.

    Raises:
        InputError: If nothing is named, or a setting is unknown or out of bounds.
    """
    as_json = arguments.flag("json")
    from graft.runs.kind import FolderKind, folder_kind

    kind = folder_kind(expanded(arguments.words[0])) if len(arguments.words) == 1 else FolderKind.MISSING
    if kind not in (FolderKind.RUN, FolderKind.BUNDLE):
        return _data(arguments, as_json)
    if arguments.options:
        raise InputError(f"the options are for data, and this is {kind.value}", remedy=USAGE)
    folder = Path(arguments.words[0])
    return _bundle(folder, as_json) if kind is FolderKind.BUNDLE else _run(folder, as_json)


def _data(arguments: Arguments, as_json: bool) -> int:
    from graft.commands.doctor import diagnose_data, settings_class

    cls = settings_class()
    arguments.options.update(data_named(arguments.words, USAGE))
    given = given_settings(arguments, cls)
    with Screen(quiet=as_json) as screen:
        found = diagnose_data(build(cls, given.values, given.where), screen)
    if as_json:
        findings = [{**asdict(each), "rows": list(map(str, each.rows))} for each in found.findings]
        print(json.dumps({"findings": findings}, ensure_ascii=False, indent=2))
        return 0
    for each in found.findings:
        print(f"{each.severity}: {each.title}")
    return 0


def _settings() -> tuple[type[Settings], ...]:
    from graft.commands.doctor import settings_class

    return (settings_class(),)


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
    usage=USAGE,
    settings=_settings,
    options=(CONFIG,),
)
