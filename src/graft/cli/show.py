"""graft show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graft.cli.arguments import Arguments
from graft.cli.command import Command
from graft.cli.progress import Screen
from graft.errors import InputError, Problems

USAGE = "graft show RUN_OR_BUNDLE_OR_SEARCH_OR_MODEL_OR_DATA [--json], or graft show RUN RUN … [--html [FILE]] [--json]"


def run(arguments: Arguments) -> int:
    """Print what a run, a bundle, a search, a model or a prepared data set is, or several runs side by side.

    Raises:
        InputError: If the name is none of them.
    """
    as_json, page = arguments.flag("json"), arguments.take("html")
    problems = Problems()
    for name in arguments.options:
        problems.add(f"unknown option --{name}", remedy=USAGE)
    if not arguments.words:
        problems.add("give a run, bundle, search, model or prepared data set, or several runs", remedy=USAGE)
    if isinstance(page, (list, tuple)):
        problems.add("--html takes one file", remedy=f"name the runs before it: {USAGE}")
    problems.raise_if_any()
    if len(arguments.words) > 1 or page is not None:
        return _show_several(arguments.words, page, as_json)
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


def _show_several(names: list[str], page: Any, as_json: bool) -> int:
    """Print several runs side by side, or write their page; of one run, write its report again."""
    from graft.cli.console import Console
    from graft.report import write_report
    from graft.report.several_page import FILE, write_comparison
    from graft.report.several_runs import SeveralRuns, document
    from graft.report.several_terminal import print_several

    folders = [Path(name) for name in names]
    _check_runs(folders, page)
    if len(folders) == 1:
        print(write_report(folders[0]))
        return 0
    several = SeveralRuns.read(folders)
    written = None if page is None else str(write_comparison(several, Path(FILE if page is True else str(page))))
    if as_json:
        print(json.dumps(document(several) | {"html": written}, ensure_ascii=False, indent=2))
        return 0
    print_several(several, Console())
    if written is not None:
        print(f"\nreport: {written}")
    return 0


def _check_runs(folders: list[Path], page: Any) -> None:
    from graft.report.several_runs import MOST_RUNS
    from graft.runs.kind import FolderKind, folder_kind, what_to_do

    problems = Problems()
    for folder in folders:
        kind = folder_kind(folder)
        if kind not in (FolderKind.RUN, FolderKind.EVALUATION):
            missing = kind is FolderKind.MISSING
            what = "no such folder" if missing else f"this is {kind.value}; only runs are shown side by side"
            problems.add(what, where=str(folder), remedy="" if missing else what_to_do(kind, folder))
    if len({folder.resolve() for folder in folders}) < len(folders):
        problems.add("a run is named twice", remedy="name each run once")
    if len(folders) > MOST_RUNS:
        problems.add(f"{len(folders)} runs are too many for one table", remedy=f"name up to {MOST_RUNS}")
    if len(folders) == 1 and page not in (None, True):
        problems.add(
            "the page of one run is its report.html", where=str(page), remedy="omit the file, or name several runs"
        )
    problems.raise_if_any()


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
    usage="graft show RUN_OR_BUNDLE_OR_SEARCH_OR_MODEL_OR_DATA\n       graft show RUN RUN … [--html [FILE]]",
    options=(
        ("--html [FILE]", "also write the page of several runs (default: comparison.html); of one run its report"),
    ),
)
