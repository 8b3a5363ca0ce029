"""manifest.json: what kind of folder this is and how it was made. This module is its only reader and writer.

A manifest names its ``kind`` and the ``schema_version`` that it follows, as "major.minor". A newer minor version adds
keys, which are kept; a newer major version is refused. ``graft.runs.upgrade`` turns a manifest of graft 0.1, which has
no version, into one of today.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from graft.documents import read_object
from graft.errors import InputError
from graft.files import write_whole
from graft.runs.bundle_manifest import BundleManifest, CandidateRecord, FigureRecord, ParityRecord, parity_reason
from graft.runs.data_manifest import DataManifest, StepRecord
from graft.runs.record import dump, plain_values, validate
from graft.runs.run_manifest import (
    SCHEMA_VERSION,
    BaseModelRecord,
    DataRecord,
    ExtensionRecord,
    FindingRecord,
    LabelSpaceRecord,
    MachineRecord,
    RunManifest,
    SourceRecord,
    TaskRecord,
    TrainingRecord,
)
from graft.runs.search_manifest import SearchManifest, TrialRecord, read_trials
from graft.runs.upgrade import upgrade_manifest
from graft.runs.workflow_manifest import PassRecord, WorkflowManifest

__all__ = [
    "MANIFEST",
    "SCHEMA_VERSION",
    "BaseModelRecord",
    "BundleManifest",
    "CandidateRecord",
    "DataManifest",
    "DataRecord",
    "ExtensionRecord",
    "FigureRecord",
    "FindingRecord",
    "LabelSpaceRecord",
    "MachineRecord",
    "Manifest",
    "ParityRecord",
    "PassRecord",
    "RunManifest",
    "SearchManifest",
    "SourceRecord",
    "StepRecord",
    "TaskRecord",
    "TrainingRecord",
    "TrialRecord",
    "WorkflowManifest",
    "parity_reason",
    "read_bundle",
    "read_data",
    "read_manifest",
    "read_run",
    "read_search",
    "read_trials",
    "read_workflow_manifest",
    "timestamp",
    "update_manifest",
]

MANIFEST = "manifest.json"

Manifest = RunManifest | BundleManifest | DataManifest | SearchManifest | WorkflowManifest
MANIFESTS: dict[str, type[Manifest]] = {
    "run": RunManifest,
    "bundle": BundleManifest,
    "data": DataManifest,
    "search": SearchManifest,
    "workflow": WorkflowManifest,
}
M = TypeVar("M", RunManifest, BundleManifest, DataManifest, SearchManifest, WorkflowManifest)


def timestamp() -> str:
    """Return the time, as manifests have it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder.

    Raises:
        InputError: If there is none, it is damaged, or a newer version of graft wrote it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError("this folder has no manifest.json", where=str(folder))
    return _manifest(upgrade_manifest(read_object(path)), str(path))


def read_run(folder: Path) -> RunManifest:
    """Read the manifest of a run folder.

    Raises:
        InputError: As ``read_manifest``; or if the folder is of another kind.
    """
    return _of_kind(RunManifest, folder)


def read_bundle(folder: Path) -> BundleManifest:
    """Read the manifest of a bundle.

    Raises:
        InputError: As ``read_manifest``; or if the folder is of another kind.
    """
    return _of_kind(BundleManifest, folder)


def read_data(folder: Path) -> DataManifest:
    """Read the manifest of a prepared data set.

    Raises:
        InputError: As ``read_manifest``; or if the folder is of another kind.
    """
    return _of_kind(DataManifest, folder)


def read_search(folder: Path) -> SearchManifest:
    """Read the manifest of a search folder.

    Raises:
        InputError: As ``read_manifest``; or if the folder is of another kind.
    """
    return _of_kind(SearchManifest, folder)


def read_workflow_manifest(folder: Path) -> WorkflowManifest:
    """Read the manifest of a workflow's folder.

    Raises:
        InputError: As ``read_manifest``; or if the folder is of another kind.
    """
    return _of_kind(WorkflowManifest, folder)


def _of_kind(kind: type[M], folder: Path) -> M:
    found = read_manifest(folder)
    if not isinstance(found, kind):
        wanted = kind.model_fields["kind"].default
        raise InputError(f"this is the folder of a {found.kind}, not of a {wanted}", where=str(folder))
    return found


def _manifest(document: dict[str, Any], where: str) -> Manifest:
    version, kind = document.get("schema_version"), document.get("kind")
    if _major(version) > _major(SCHEMA_VERSION):
        raise InputError(
            f"a newer version of graft wrote this manifest: its schema is {version}, "
            f"this version reads {SCHEMA_VERSION}",
            where=where,
            remedy="pip install --upgrade graft-slm",
        )
    if not isinstance(kind, str) or kind not in MANIFESTS:
        raise InputError(
            f"this manifest is of the kind {kind!r}; this version of graft reads {', '.join(MANIFESTS)}", where=where
        )
    return validate(MANIFESTS[kind], document, where)


def _major(version: Any) -> int:
    head = str(version).partition(".")[0]
    return int(head) if head.isdecimal() else 0


def update_manifest(folder: Path, kind: type[M], **values: Any) -> M:
    """Write ``values`` over the manifest of a folder, as a whole; without a manifest they make a new one.

    Args:
        folder: The folder.
        kind: ``RunManifest``, or that of another kind of folder.
        values: Fields of it; records, dataclasses as dictionaries, or plain values.

    Returns:
        The manifest as it is now.

    Raises:
        InputError: If the manifest that is there is damaged, or a value is of a wrong type.
        GraftError: If the file cannot be written.
    """
    path = folder / MANIFEST
    before = upgrade_manifest(read_object(path)) if path.is_file() else {}
    head = {"kind": kind.model_fields["kind"].default, "schema_version": SCHEMA_VERSION}
    manifest = validate(kind, upgrade_manifest({**before, **plain_values(values), **head}), str(path))
    write_whole(path, dump(manifest))
    return manifest
