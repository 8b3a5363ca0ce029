"""The report of a workflow: its passes, what each left, and the figures of all of them on one page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graft.commands.data_passes import PREPARE
from graft.commands.passes import PASSES
from graft.commands.speed import FILE as SPEED
from graft.commands.speed import in_words
from graft.documents import read_object
from graft.errors import InputError
from graft.evaluation.table import verdict
from graft.files import write_whole
from graft.report.benchmark_section import benchmark_sentences
from graft.report.format import duration, listed
from graft.report.templating import render_page
from graft.runs.evaluation_document import read_evaluation
from graft.runs.kind import FolderKind, folder_kind
from graft.runs.manifest import PassRecord, WorkflowManifest, read_bundle, read_data, read_workflow_manifest
from graft.runs.search_manifest import WINNER
from graft.shared_text import shared

PAGE, FIGURES = "report.html", "report.json"
_KINDS = {place: name for name, place in PASSES.builtin.items()} | {"graft.commands.data_passes:Prepare": PREPARE}
"""The class of a pass, as the manifest names it -> its type in a workflow file."""


def write_workflow_report(workflow: Path, output: Path, title: str | None = None) -> Path:
    """Write ``report.html`` and ``report.json`` about the passes that are finished.

    Args:
        workflow: The folder of the workflow.
        output: The folder for both.
        title: The heading of the page; the name of the workflow's folder if it is None.

    Returns:
        The page.

    Raises:
        InputError: If ``workflow`` has no record of a workflow.
    """
    manifest = read_workflow_manifest(workflow)
    passes = [_entry(workflow, record) for record in manifest.passes if record.status == "finished"]
    name = title or workflow.name
    output.mkdir(parents=True, exist_ok=True)
    document = {"title": name, "passes": passes}
    write_whole(output / FIGURES, json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    write_whole(output / PAGE, render_workflow(name, passes, _facts(manifest)))
    return output / PAGE


def render_workflow(title: str, passes: list[dict[str, Any]], facts: list[tuple[str, str]]) -> str:
    """Return the page.

    Args:
        title: The heading.
        passes: What ``report.json`` has of each pass.
        facts: The workflow file and the versions.
    """
    shown = [
        shared({name: one[name] for name in ("name", "verdict", "found")})
        | {
            "page": one["page"],
            "kind": _KINDS.get(one["type"], one["type"].rpartition(":")[2].removeprefix("Step_")),
            "took": duration(one["seconds"]),
            "settings": [(setting, shared(listed(shared(value)))) for setting, value in one["settings"].items()],
        }
        for one in passes
    ]
    return render_page("workflow.html.j2", title=title, passes=shown, verdict=_verdict(passes), facts=shared(facts))


def _facts(manifest: WorkflowManifest) -> list[tuple[str, str]]:
    found = [("workflow file", manifest.file or ""), ("graft", manifest.graft)]
    libraries = {name: value for record in manifest.passes for name, value in record.versions.items()}
    found += list(libraries.items())
    return [(name, value) for name, value in found if value]


def _entry(workflow: Path, record: PassRecord) -> dict[str, Any]:
    output = workflow / record.output
    return {
        "name": record.name,
        "type": record.type,
        "settings": record.settings,
        "key": record.key,
        "seconds": record.seconds,
        "page": _page(workflow, output),
        "verdict": _judgment(output),
        "found": list(_found(output)),
    }


def _page(workflow: Path, output: Path) -> str | None:
    """The page of a pass, relative to the report's folder, which is beside it."""
    for name in ("report.html", "search.html", "doctor.html", "README.md"):
        for place in (output / name, output / WINNER / name):
            if place.is_file():
                return f"../{place.relative_to(workflow).as_posix()}"
    return None


def _judgment(output: Path) -> str:
    """How good the model of a pass is, in a sentence; empty where it was not evaluated."""
    evaluated = read_evaluation(output) or read_evaluation(output / WINNER)
    return verdict(evaluated.document()) if evaluated is not None and evaluated.predictors else ""


def _found(output: Path) -> Iterator[str]:
    """What else a pass found, in sentences."""
    if (output / SPEED).is_file():
        yield in_words(read_object(output / SPEED))
    evaluated = read_evaluation(output)
    if evaluated is not None and evaluated.benchmarks is not None:
        yield from benchmark_sentences(evaluated.benchmarks)
    kind = folder_kind(output)
    if kind is FolderKind.DATA:
        yield ", ".join(f"{rows:,} {side}" for side, rows in read_data(output).rows.items()) + " rows"
    if kind is FolderKind.BUNDLE:
        bundle = read_bundle(output)
        yield f"{bundle.title or bundle.format}: {bundle.summary}"


def _verdict(passes: list[dict[str, Any]]) -> str:
    """The last judgment of a model; of a workflow without one, the number of its passes."""
    judged = [one["verdict"] for one in passes if one["verdict"]]
    count = "1 pass" if len(passes) == 1 else f"{len(passes)} passes"
    return judged[-1] if judged else f"{count} finished."


def check_workflow(workflow: Path | None) -> Path:
    """The folder of the workflow.

    Raises:
        InputError: If the report is the only pass.
    """
    if workflow is None or folder_kind(workflow) is not FolderKind.WORKFLOW:
        raise InputError("a report needs passes before it", remedy="put it after the passes that it reports")
    return workflow
