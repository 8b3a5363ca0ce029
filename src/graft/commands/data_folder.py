"""The folder that ``graft prepare`` writes: whether it may, and what is in it."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from graft._version import __version__
from graft.config import PrepareSettings, Settings, SourceSettings, config_of, recordable
from graft.data.faults import Faults
from graft.data.prepared import CHANGES, SPLITS, rows_file
from graft.data.readers import Row
from graft.data.sources import Loaded, find_files, sha256_of
from graft.data.steps import STEPS, ChangeLog, Sides
from graft.data.values import Unreadable
from graft.documents import dump_yaml
from graft.errors import InputError, Problems
from graft.files import write_lines, write_whole
from graft.runs.folder import check_folder
from graft.runs.kind import FolderKind, folder_kind
from graft.runs.manifest import MANIFEST, DataManifest, timestamp, update_manifest
from graft.runs.staged import LOCK, sibling_of

CONFIG = "config.yaml"
OWN = {*map(rows_file, SPLITS), CHANGES, MANIFEST, CONFIG, LOCK}
SECRET = {"token", "api_key"}


def checked_output(settings: PrepareSettings) -> Path:
    """Return the output folder.

    Raises:
        InputError: If none is given, it is in the folder of the data, or it holds something that may not be replaced.
    """
    if settings.output_path is None:
        raise InputError("no output folder is given", remedy="graft prepare DATA -o OUT")
    output = settings.output_path
    output = output.resolve() if output.is_symlink() else output  # a link stays, and what it leads to is replaced
    check_folder(output)
    check_outside(output, settings)
    kind = folder_kind(output)
    if kind in (FolderKind.MISSING, FolderKind.EMPTY):
        return output
    if kind is not FolderKind.DATA:
        raise InputError(f"the output folder is {kind.value}", where=str(output), remedy="choose another --output_path")
    if not settings.overwrite:
        remedy = "pass --overwrite to replace it, or choose another --output_path"
        raise InputError("this folder already has a prepared data set", where=str(output), remedy=remedy)
    others = sorted(entry.name for entry in output.iterdir() if entry.name not in OWN)
    if others:
        what = f"the output folder has files that graft prepare did not write: {', '.join(others[:5])}"
        raise InputError(what, where=str(output), remedy="move them away, or choose another --output_path")
    return output


def check_outside(output: Path, settings: SourceSettings) -> None:
    """Check that an output folder is none that rows are read from as a whole, and in none.

    Raises:
        InputError: If it is.
    """
    problems = Problems()
    for folder in _folders(settings):
        if output.resolve().is_relative_to(folder.resolve()):
            same = output.resolve() == folder.resolve()
            what = "the output folder is the folder of the data" if same else "the output folder is in that of the data"
            problems.add(what, output, "choose a folder outside of it")
    problems.raise_if_any()


def _folders(settings: SourceSettings) -> Iterator[Path]:
    """The folders that rows are read from as a whole."""
    for name in (settings.data_name, *(settings.data_files or ()), *(settings.eval_data_files or ())):
        with suppress(OSError, RuntimeError, ValueError):  # reading it says what is wrong
            if name and Path(name).expanduser().is_dir():
                yield Path(name).expanduser()


def check_files(settings: Settings, *options: str) -> None:
    """Check that the files that some options name are there.

    Args:
        settings: The settings; an option that they do not have names none.
        options: The options.

    Raises:
        InputError: With all that are missing.
    """
    problems = Problems()
    for option in options:
        files = getattr(settings, option, None)
        if files is not None:
            with problems.collecting():
                find_files(files, f"--{option}")
    problems.raise_if_any()


def check_apart(output: Path, files: Iterable[str]) -> None:
    """Check that no file that is read is in the folder that would be replaced.

    Raises:
        InputError: If one is.
    """
    within = next((file for file in files if Path(file).resolve().is_relative_to(output.resolve())), None)
    if within is not None:
        what = f"the data is in the output folder: {within}"
        raise InputError(what, where=str(output), remedy="choose another --output_path")


def write_folder(
    output: Path,
    settings: PrepareSettings,
    loaded: Loaded,
    names: Sequence[str],
    sides: Sides,
    log: ChangeLog,
    started: str,
) -> DataManifest:
    """Write the rows, the changes, the settings and the manifest, all or nothing.

    Args:
        output: The folder.
        settings: Those of ``graft prepare``.
        loaded: What was read.
        names: The steps that have run.
        sides: The rows as they are now.
        log: What was changed.
        started: When the work began.

    Returns:
        The manifest.

    Raises:
        InputError: If a row has a value that has no text.
        GraftError: If the folder cannot be written; nothing is there then.
    """
    with sibling_of(output) as folder:
        written = {side: _write_side(folder, side, rows) for side, rows in sides.items()}
        write_lines(folder / CHANGES, (_json(change.record()) for change in log.changes), private=True)
        write_whole(folder / CONFIG, _config(settings))
        return update_manifest(
            folder,
            DataManifest,
            graft=__version__,
            command="prepare",
            status="finished",
            started=started,
            finished=timestamp(),
            settings=settings.model_dump(mode="json", exclude=SECRET),
            seed=settings.seed,
            sources=_sources(loaded),
            files=dict(loaded.files),
            steps=[_step(name, settings, log) for name in names],
            sides=written,
            versions={"python": platform.python_version(), "graft": __version__, "ftfy": version("ftfy")},
        )


def _write_side(folder: Path, side: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Write the rows of a side, and return the record of the file."""
    faults, path = Faults(), folder / rows_file(side)
    count = write_lines(path, _lines(rows, faults), private=True)
    faults.raise_if_any()
    return {"path": path.name, "rows": count, "sha256": sha256_of(path)}


def _lines(rows: Iterable[Row], faults: Faults) -> Iterator[str]:
    for row in rows:
        try:
            yield _json(row.columns)
        except TypeError:
            for name, value in row.columns.items():
                if _has_no_text(value):
                    what = f"the column {name!r} has a value that is not text, a number, or a list of these"
                    faults.add(what, row.origin, f"omit it: --ignore_columns {name}")


def _has_no_text(value: Any) -> bool:
    if isinstance(value, (list, dict)):
        return any(map(_has_no_text, value.values() if isinstance(value, dict) else value))
    return isinstance(value, Unreadable)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _config(settings: PrepareSettings) -> str:
    """config.yaml: what was given, and the seed. ``graft prepare --config`` does the same again."""
    given = settings.model_dump(mode="json", exclude={*SECRET, "overwrite"}, exclude_defaults=True)
    return dump_yaml(recordable({**given, "seed": settings.seed}))


def _sources(loaded: Loaded) -> dict[str, Any]:
    sources = {"train": loaded.source, "eval": loaded.eval_source}
    found = {side: asdict(source) for side, source in sources.items() if source is not None}
    return found if loaded.test is None else {**found, "test": {**found["train"], "rows": len(loaded.test)}}


def _step(name: str, settings: PrepareSettings, log: ChangeLog) -> dict[str, Any]:
    step = STEPS.get(name)
    given = config_of(settings, step.Config).model_dump(mode="json", exclude=SECRET)
    counts = {str(action): count for action, count in log.counts[name].items()}
    return {"name": name, "title": step.title, "settings": given, **counts}
