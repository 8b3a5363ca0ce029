"""Resuming a run that was moved: where its inputs are now. Whether they are the same ones, their hashes say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graft.config import FinetuneSettings
from graft.data.sources import find_files
from graft.errors import InputError
from graft.files import expanded
from graft.models.folder import is_whole
from graft.planning.fingerprints import tokenizer_sha256
from graft.runs.manifest import RunManifest

PLACES = frozenset(
    {"model_name_or_path", "adapter_path", "data_files", "eval_data_files", "data_name", "chat_template"}
)
"""Settings that name an input whose hash is recorded; one that is no longer at its place may be given anew."""


def is_gone(value: Any) -> bool:
    """Whether a recorded setting names files, and none of them is there."""
    names = [value] if isinstance(value, (str, Path)) else list(value or ())
    return bool(names) and not any(map(_exists, names))


def _exists(name: str | Path) -> bool:
    try:
        return expanded(name).exists() or bool(find_files([str(name)]))
    except (InputError, OSError):
        return False


def new_places(
    given: FinetuneSettings, recorded: FinetuneSettings, manifest: RunManifest | None, run: Path
) -> dict[str, Any]:
    """The settings of inputs that are elsewhere now: as given, or the model where it was moved with the run."""
    moved = {name for name in PLACES if is_gone(getattr(recorded, name))}
    found = {name: getattr(given, name) for name in moved & given.model_fields_set}
    if manifest is not None and "model_name_or_path" in moved - found.keys():
        place = next(_model_places(manifest, run), None)
        found |= {} if place is None else {"model_name_or_path": str(place)}
    return found


def _model_places(manifest: RunManifest, run: Path) -> Iterator[Path]:
    """The run that training continued from, or the base: beside this run as before, or in its ``model`` folder."""
    parent, base = manifest.continued_from, manifest.base
    if parent is not None:
        if (run / parent.path).exists():
            yield (run / parent.path).resolve()
        return
    if base is None or not Path(base.name).is_absolute():
        return  # a name, which is found again by itself
    if base.path and (run / base.path).exists():
        yield (run / base.path).resolve()
    model = run / "model"
    if any((run / "adapter").glob("*")) and is_whole(model) and tokenizer_sha256(model) == base.tokenizer_sha256:
        yield model.resolve()
