"""graft show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graft.cli.arguments import Arguments
from graft.cli.command import Command
from graft.cli.progress import Screen
from graft.errors import InputError, Problems

USAGE = "graft show RUN_OR_BUNDLE_OR_SEARCH_OR_MODEL_OR_DATA [--json]"


def run(arguments: Arguments) -> int:
    """Print what a run, a bundle, a search, a model or a prepared data set is.

    Raises:
        InputError: If the name is none of them.
    """
    as_json = arguments.flag("json")
    problems = Problems()
    for name in arguments.options:
        problems.add(f"unknown option --{name}", remedy=USAGE)
    if len(arguments.words) != 1:
        problems.add("give one run, bundle, search, model or prepared data set", remedy=USAGE)
    problems.raise_if_any()
    from graft.runs.kind import FolderKind, folder_kind, what_to_do

    name = arguments.words[0]
    folder = Path(name)
    kind = folder_kind(folder)
    if kind in (FolderKind.RUN, FolderKind.EVALUATION):
        _show_run(folder, as_json)
    elif kind is FolderKind.BUNDLE:
        _show_bundle(folder, as_json)
    elif kind is FolderKind.SEARCH:
        _show_search(folder, as_json)
    elif kind is FolderKind.DATA:
        _show_data(folder, as_json)
    elif kind in (FolderKind.MODEL, FolderKind.ADAPTER, FolderKind.FILE, FolderKind.MISSING):
        _show_model(name, as_json)
    else:
        what = f"this is {kind.value}, not a run, a bundle, a search, a model or a prepared data set"
        raise InputError(what, where=name, remedy=what_to_do(kind, folder))
    return 0


def _show_run(folder: Path, as_json: bool) -> None:
    from graft.cli.console import Console
    from graft.report import print_run, run_summary

    if as_json:
        print(json.dumps(run_summary(folder), ensure_ascii=False, indent=2))
    else:
        print_run(folder, Console())


def _show_bundle(folder: Path, as_json: bool) -> None:
    from graft.cli.console import Console
    from graft.report.bundle import bundle_summary, print_bundle

    if as_json:
        print(json.dumps(bundle_summary(folder), ensure_ascii=False, indent=2, default=str))
    else:
        print_bundle(folder, Console())


def _show_search(folder: Path, as_json: bool) -> None:
    from graft.cli.console import Console
    from graft.report.search_terminal import print_search, search_summary

    if as_json:
        print(json.dumps(search_summary(folder), ensure_ascii=False, indent=2))
    else:
        print_search(folder, Console())


def _show_data(folder: Path, as_json: bool) -> None:
    from graft.cli.prepare import described
    from graft.runs.manifest import read_data

    manifest = read_data(folder)
    if as_json:
        print(json.dumps(manifest.document(), ensure_ascii=False, indent=2))
    else:
        print("\n".join([str(folder), *described(manifest)]))


def _show_model(name: str, as_json: bool) -> None:
    from graft.commands.show import describe

    with Screen(quiet=as_json) as screen:
        found = describe(name, screen)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return
    for key, value in found.items():
        if value is not None:
            print(f"{key.replace('_', ' '):<15}{_shown(value)}")


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


COMMAND = Command(
    "show",
    run,
    usage="graft show RUN_OR_BUNDLE_OR_SEARCH_OR_MODEL_OR_DATA",
)
