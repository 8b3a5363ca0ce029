"""What ``graft doctor -o OUT`` writes: a page, all findings as JSON, and a review file."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from graft.data.review import REVIEW, write_review
from graft.errors import InputError
from graft.files import TEMPORARY, saying_what_failed, write_lines, write_whole
from graft.runs.folder import check_folder
from graft.runs.kind import FolderKind, folder_kind
from graft.runs.links import refuse_links

if TYPE_CHECKING:
    from graft.commands.doctor import Diagnosis

PAGE, DOCUMENT = "doctor.html", "doctor.json"
FILES = (PAGE, DOCUMENT, REVIEW)
_OF_OTHERS = (FolderKind.RUN, FolderKind.BUNDLE, FolderKind.SEARCH, FolderKind.MODEL, FolderKind.ADAPTER)


def check_output(output: Path, overwrite: bool) -> None:
    """Check that the findings may be written to a folder.

    Raises:
        InputError: If it is no folder, a run or a model, or has findings already.
    """
    check_folder(output)
    refuse_links(output, FILES)
    kind = folder_kind(output)
    if kind in _OF_OTHERS:
        raise InputError(f"the output folder is {kind.value}", where=str(output), remedy="choose another --output_path")
    there = [name for name in FILES if (output / name).exists()]
    if there and not overwrite:
        remedy = "add --overwrite, or choose another --output_path"
        raise InputError(
            f"the output folder has findings already: {', '.join(there)}", where=str(output), remedy=remedy
        )


def write_findings(output: Path, found: Diagnosis) -> None:
    """Write the page, the document, and the review file where there is something to review: all of them, or none.

    Args:
        output: The folder, which is made.
        found: What was looked at, and what was found.
    """
    from graft.report.checked_data import data_record
    from graft.report.data_page import render_data_page
    from graft.report.findings import document_parts

    with saying_what_failed(output):
        output.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".doctor-", suffix=TEMPORARY, dir=output) as name:
            staged = Path(name)
            parts = document_parts(data_record(found.data, found.checks), found.findings)
            write_lines(staged / DOCUMENT, parts, private=True)
            write_whole(staged / PAGE, render_data_page(found.data, found.findings, found.checks), private=True)
            write_review(found.findings, found.data, staged)
            _replace(output, staged)


def _replace(output: Path, staged: Path) -> None:
    """Move the new files in place of the old ones, whose modes they take.

    The old ones are removed first: a process that is killed here leaves no page of one data beside a review of other.
    """
    for name in FILES:
        if (output / name).exists():
            if (staged / name).exists():
                (staged / name).chmod((output / name).stat().st_mode & 0o777)
            (output / name).unlink()
    for path in staged.iterdir():
        path.replace(output / path.name)
