"""graft doctor."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.cli.arguments import Arguments
from graft.cli.command import CONFIG, Command
from graft.cli.data_words import data_named
from graft.cli.options import given_settings
from graft.cli.progress import Screen
from graft.config import GateSettings, Settings, build
from graft.errors import InputError
from graft.files import expanded

if TYPE_CHECKING:
    from graft.commands.doctor import Diagnosis
    from graft.data.checks import Finding, Severity
    from graft.runs.kind import FolderKind

USAGE = "graft doctor DATA_OR_RUN_OR_BUNDLE [--option value …]"
GATE = 3
"""The exit code where --fail_on is met."""


def run(arguments: Arguments) -> int:
    """Print what is wrong with data, a run, an evaluation, or a bundle, with evidence and remedies.

    Raises:
        InputError: If nothing is named, or a setting is unknown or out of bounds.
    """
    as_json = arguments.flag("json")
    from graft.runs.kind import FolderKind, expect_kind, folder_kind

    one = len(arguments.words) == 1
    folder = expanded(arguments.words[0]) if one else Path()
    kind = folder_kind(folder) if one else FolderKind.MISSING
    if kind in (FolderKind.RUN, FolderKind.EVALUATION, FolderKind.BUNDLE):
        return _folder(folder, kind, arguments, as_json)
    data = (FolderKind.DATA, FolderKind.DATA_FILES, FolderKind.FILE, FolderKind.MISSING)
    if kind not in data and not (kind is FolderKind.OTHER and _holds_data(folder)):
        expect_kind(folder, (FolderKind.RUN, FolderKind.BUNDLE, FolderKind.DATA_FILES))
    return _data(arguments, as_json)


def _holds_data(folder: Path) -> bool:
    """Whether there are data files anywhere below a folder, or ``datasets`` saved it."""
    from graft.data.named_files import files_in, is_saved

    try:
        return is_saved(folder) or bool(files_in(folder))
    except InputError:
        return False


def _data(arguments: Arguments, as_json: bool) -> int:
    from graft.cli.console import Console
    from graft.commands.doctor import check_settings, diagnose_data, settings_class, shown_rows
    from graft.report.checked_data import data_facts, data_record, data_title
    from graft.report.named_findings import named_findings
    from graft.report.shown_rows import print_rows

    cls = settings_class()
    arguments.options.update(data_named(arguments.words, USAGE))
    given = given_settings(arguments, cls)
    settings = build(cls, given.values, given.where, check_settings)
    with Screen(quiet=as_json, imports=settings.model_name_or_path is not None) as screen:
        found = diagnose_data(settings, screen)
    rows = shown_rows(found.data, settings.show)
    if as_json:
        shown = {"rows_shown": [row.record() for row in rows]} if settings.show else {}
        _print_document({**data_record(found.data, found.checks), **shown}, found.findings)
    else:
        heading = f"{data_title(found.data)}: data"
        findings = named_findings(found.data, found.findings)
        _print(heading, data_facts(found.data, found.checks), findings, "No problems found.")
        print_rows(rows, Console())
        print(_last_lines(found, settings))
    return _exit_code(found.findings, settings.fail_on)


def _last_lines(found: Diagnosis, settings: Any) -> str:
    """Where the page is, and what further options would add, in a line each."""
    hints = []
    if settings.model_name_or_path is None:
        hints.append("--model MODEL checks lengths, cuts, and the tokens that are trained, too")
    if found.data.labels and found.data.embed is None:
        hints.append("--encoder MODEL finds likely wrong labels by their meaning, too")
    if settings.output_path is None:
        hints.append("-o OUT writes a page (doctor.html), all rows (doctor.json), and a review file")
    else:
        hints.insert(0, f"report: {settings.output_path / 'doctor.html'}")
    return "\n".join(hints)


def _folder(folder: Path, kind: FolderKind, arguments: Arguments, as_json: bool) -> int:
    """Print what is wrong with a run or a bundle."""
    from graft.runs.kind import FolderKind

    others = [name for name in arguments.options if name != "fail_on"]
    if others:
        what = f"--{others[0]} is an option for data, and this is {kind.value}"
        raise InputError(what, where=str(folder), remedy="graft doctor RUN_OR_BUNDLE [--fail_on SEVERITY] [--json]")
    fail_on = build(GateSettings, arguments.options).fail_on
    about, heading, findings, healthy = _bundle(folder) if kind is FolderKind.BUNDLE else _run(folder)
    if as_json:
        _print_document(about, findings)
    else:
        _print(heading, (), findings, healthy)
    return _exit_code(findings, fail_on)


def _settings() -> tuple[type[Settings], ...]:
    from graft.commands.doctor import settings_class

    return (settings_class(),)


def _run(folder: Path) -> tuple[dict[str, str], str, list[Finding], str]:
    from graft.report.doctor import diagnose
    from graft.report.evaluation_doctor import diagnose_evaluation
    from graft.report.forgetting_section import sentence_of
    from graft.report.summary import sentence
    from graft.runs.forgetting_record import KEPT
    from graft.runs.view import RunView

    view = RunView.read(folder)
    if view.manifest is None:
        heading = f"{view.title} (an evaluation): {sentence(view)}"
        healthy = "No problems found in the scores and the answers."
        return {"evaluation": str(folder), "status": view.status}, heading, diagnose_evaluation(view), healthy
    healthy = "No problems found in the loss curves, memory, speed and scores."
    probed = view.evaluation.forgetting
    kept = f" {sentence_of(probed)}" if probed is not None and probed.judgment == KEPT else ""
    heading = f"{view.title} ({view.status}): {sentence(view)}{kept}"
    about = {"run": str(folder), "status": view.status} | ({"forgetting": probed.judgment} if probed else {})
    return about, heading, diagnose(view), healthy


def _bundle(folder: Path) -> tuple[dict[str, str], str, list[Finding], str]:
    from graft.report.bundle_doctor import diagnose_bundle
    from graft.runs.manifest import read_bundle

    manifest = read_bundle(folder)
    healthy = "No problems found: the bundle passed the comparison with the PyTorch model."
    heading = f"{folder.name} ({manifest.status}): {manifest.summary}"
    return {"bundle": str(folder), "status": manifest.status}, heading, diagnose_bundle(manifest), healthy


def _print_document(about: Mapping[str, Any], findings: Sequence[Finding]) -> None:
    from graft.report.findings import document_parts

    for part in document_parts(about, findings):
        print(part, end="")


def _print(heading: str, facts: Sequence[tuple[str, str]], findings: Sequence[Finding], healthy: str) -> None:
    from rich.text import Text

    from graft.cli.console import Console
    from graft.report.findings import counted
    from graft.report.findings_text import print_facts, print_findings

    console = Console()
    console.print(Text(heading, style="bold"), soft_wrap=not console.has_edge)
    print_facts(console, facts)
    print_findings(console, findings)
    print(f"\n{counted(findings)}" if findings else f"\n{healthy}")


def _exit_code(findings: Sequence[Finding], fail_on: Severity | None) -> int:
    """0, or 3 where ``--fail_on`` is met."""
    from graft.report.findings import counted, reaches

    met = reaches(findings, fail_on)
    if met:
        print(f"--fail_on {fail_on}: {counted(met)}", file=sys.stderr)
    return GATE if met else 0


COMMAND = Command(
    "doctor",
    run,
    usage=USAGE,
    settings=_settings,
    options=(CONFIG,),
)
