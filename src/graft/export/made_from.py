"""The run that a bundle or one of its adapters was made from, found by what it trained and not by where it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from graft.errors import GraftError, InputError, Problems
from graft.models.weights import find_weights
from graft.models.weights import sha256_of as weights_sha256
from graft.runs.folder import RunFolder
from graft.runs.kind import is_run
from graft.runs.manifest import BundleManifest
from graft.runs.paths import path_from


def trained_sha256(run: RunFolder) -> str | None:
    """Return the SHA-256 of what ``run`` trained: its adapter, or all weights; None if they are not there."""
    recorded = run.manifest.adapter.sha256
    if recorded is not None:
        return recorded
    problems = Problems()
    weights = find_weights(run.path / "model", problems) if (run.path / "model").is_dir() else None
    return None if problems or not weights else weights_sha256(weights)


def run_of_bundle(folder: Path, manifest: BundleManifest, adapter: str | None = None) -> RunFolder | None:
    """Find the run that a bundle, or one of its adapters, was made from.

    It is looked for where the manifest says, around the bundle, and beside it. A run that trained something else does
    not count.

    Args:
        folder: The bundle.
        manifest: Its manifest.
        adapter: One of its adapters; None for the bundle as a whole.

    Returns:
        The run, or None if it is not there.
    """
    entry = manifest.adapters.get(adapter) if adapter is not None else None
    made_from = entry.made_from if entry is not None else None
    named = (made_from.path if made_from is not None else None) or manifest.run
    if named is None:
        return None
    wanted = made_from.sha256 if made_from is not None else manifest.run_sha256
    if wanted is None and manifest.adapter is not None:
        wanted = manifest.adapter.sha256  # graft 0.1
    base = manifest.base.sha256 if manifest.base is not None else None
    return next((run for place in _places(folder, named) if (run := _the_run(place, wanted, base))), None)


def _places(folder: Path, named: str) -> Iterator[Path]:
    folder = folder.resolve()
    yield path_from(named, folder)
    yield folder.parent
    yield folder.parent / Path(named.replace("\\", "/")).name


def _the_run(place: Path, wanted: str | None, base: str | None) -> RunFolder | None:
    """The run in ``place``, if it trained ``wanted``; where that is not recorded, if it is over ``base``."""
    if not is_run(place):
        return None
    run = RunFolder(place)
    try:
        if wanted is not None:
            return run if trained_sha256(run) == wanted else None
        recorded = run.manifest.base
    except GraftError:
        return None
    return run if base is not None and recorded is not None and base == recorded.sha256 else None


def no_rows(folder: Path, manifest: BundleManifest, adapter: str | None = None) -> InputError:
    """Return the error for a bundle that is to be evaluated on the rows of a run that is not there."""
    entry = manifest.adapters.get(adapter) if adapter is not None else None
    named = (entry.made_from.path if entry is not None and entry.made_from is not None else None) or manifest.run
    if named is None:
        return InputError("no rows to evaluate on are given", where=str(folder), remedy="--data_files rows.jsonl")
    of = f"the adapter {adapter}" if entry is not None else "this bundle"
    return InputError(
        f"the run that {of} was made from is not here, so there are no held-out rows; it was {named}",
        where=str(folder),
        remedy="--data_files rows.jsonl, such as RUN/data/eval.jsonl of that run",
    )
