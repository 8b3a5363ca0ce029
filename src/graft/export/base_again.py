"""The base model of a bundle, opened again for an adapter that is added to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from graft.errors import GraftError, InputError
from graft.models.base import Opened, open_run_or_model
from graft.progress import Reporter
from graft.runs.manifest import BaseModelRecord
from graft.runs.paths import path_from


def open_base_again(
    folder: Path, recorded: BaseModelRecord, adapters: Sequence[Path], named: str | None, reporter: Reporter
) -> Opened:
    """Open the model whose weights have the recorded SHA-256.

    It is looked for where the manifest says, by its name, and under the adapters that are added.

    Args:
        folder: The bundle.
        recorded: What the bundle's manifest says of its base.
        adapters: The adapters that are added.
        named: The base as the user named it, which is then the only one that is tried.
        reporter: Shows notes.

    Raises:
        InputError: If there is no such model.
    """
    changed: Path | None = None
    for place in [named] if named is not None else _places(folder, recorded, adapters):
        try:
            opened = open_run_or_model(place, reporter)
        except GraftError:
            if named is not None:
                raise
            continue
        if opened.base.sha256 == recorded.sha256:
            return opened
        changed = opened.base.path
    remedy = "add --base_model_path MODEL --output_path BUNDLE, with the model that the bundle was built from"
    if changed is not None:
        what = f"the base model has changed since this bundle was built: its SHA-256 was {recorded.sha256}"
        raise InputError(what, where=str(changed), remedy=remedy)
    what = f"the base model of this bundle, {recorded.name} (SHA-256 {recorded.sha256}), is not here"
    raise InputError(what, where=str(folder), remedy=remedy)


def _places(folder: Path, recorded: BaseModelRecord, adapters: Sequence[Path]) -> Iterator[str | Path]:
    if recorded.path is not None and path_from(recorded.path, folder).is_dir():
        yield path_from(recorded.path, folder)
    yield recorded.name
    yield from adapters
