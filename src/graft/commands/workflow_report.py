"""The report of a workflow: its passes, what each left, and the figures of all of them on one page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graft.commands.benchmark import FILE as BENCHMARK
from graft.commands.benchmark import in_words
from graft.documents import read_object
from graft.errors import InputError
from graft.evaluation.table import verdict
from graft.files import write_whole
from graft.report.format import duration
from graft.report.templating import render_page
from graft.runs.evaluation_document import read_evaluation
from graft.runs.kind import FolderKind, folder_kind
from graft.runs.manifest import PassRecord, WorkflowManifest, read_bundle, read_data, read_workflow_manifest
from graft.runs.search_manifest import WINNER

PAGE, FIGURES = "report.html", "report.json"


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
    page = render_page("workflow.html.j2", title=name, passes=passes, verdict=_verdict(passes), facts=_facts(manifest))
    write_whole(output / PAGE, page)
    return output / PAGE


def _facts(manifest: WorkflowManifest) -> list[tuple[str, str]]:
    found = [("file", manifest.file or ""), ("graft", manifest.graft)]
    libraries = {name: value for record in manifest.passes for name, value in record.versions.items()}
    found += list(libraries.items())
    return [(name, value) for name, value in found if value]


def _entry(workflow: Path, record: PassRecord) -> dict[str, Any]:
    output = workflow / record.output
    return {
        "name": record.name,
        "type": record.type.rpartition(":")[2],
        "settings": record.settings,
        "key": record.key,
        "seconds": record.seconds,
        "took": duration(record.seconds),
        "page": _page(workflow, output),
        "found": list(_found(output)),
    }


def _page(workflow: Path, output: Path) -> str | None:
    """The page of a pass, relative to the report's folder, which is beside it."""
    for name in ("report.html", "search.html", "doctor.html", "README.md"):
        for place in (output / name, output / WINNER / name):
            if place.is_file():
                return f"../{place.relative_to(workflow).as_posix()}"
    return None


def _found(output: Path) -> Iterator[str]:
    """What a pass found, in sentences."""
    evaluated = read_evaluation(output) or read_evaluation(output / WINNER)
    if evaluated is not None:
        try:
            yield verdict(evaluated.document())
        except (LookupError, TypeError, ValueError, StopIteration):  # of one model only
            yield from _scores(evaluated.document())
    if (output / BENCHMARK).is_file():
        yield in_words(read_object(output / BENCHMARK))
    kind = folder_kind(output)
    if kind is FolderKind.DATA:
        yield ", ".join(f"{rows:,} {side}" for side, rows in read_data(output).rows.items()) + " rows"
    if kind is FolderKind.BUNDLE:
        bundle = read_bundle(output)
        yield f"{bundle.title or bundle.format}: {bundle.summary}"


def _scores(document: dict[str, Any]) -> Iterator[str]:
    for name, figures in document.get("predictors", {}).items():
        scores = (f"{metric} {figure['value']:.4g}" for metric, figure in figures.items() if "value" in figure)
        yield f"{name}: {', '.join(scores)}"


def _verdict(passes: list[dict[str, Any]]) -> str:
    """The last judgment of a model; of a workflow without one, the number of its passes."""
    judged = [one["found"][0] for one in passes if one["found"] and one["type"] in ("EvaluatePass", "FinetunePass")]
    return judged[-1] if judged else f"{len(passes)} passes are finished."


def check_workflow(workflow: Path | None) -> Path:
    """The folder of the workflow.

    Raises:
        InputError: If the report is the only pass.
    """
    if workflow is None or folder_kind(workflow) is not FolderKind.WORKFLOW:
        raise InputError("a report needs passes before it", remedy="put it after the passes that it reports")
    return workflow
