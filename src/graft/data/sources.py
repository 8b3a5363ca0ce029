"""Data by file, glob, folder or Hub id; splits and slices."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from graft.config import DataSettings
from graft.data.columns.known import known_names
from graft.data.example import Origin
from graft.data.faults import Faults
from graft.data.features import named, with_classes
from graft.data.ignored import without_columns
from graft.data.inferred import InferredSetting
from graft.data.named_files import (
    Hashes,
    files_in,
    find_files,
    hashes_of,
    is_saved,
    named_of,
    near,
    path_of,
    sha256_of,
    unchanged,
)
from graft.data.prepared import files_of_sides, is_prepared, prepared_folder
from graft.data.readers import Naming, Row, bare_names, endings, load_splits
from graft.data.readers.json_shapes import split_named
from graft.data.readers.plain import plain_rows
from graft.data.saved_datasets import saved_rows, saved_splits
from graft.data.slices import Splits, take
from graft.data.spool import Joined, Spool
from graft.data.values import plain, without_padding
from graft.errors import GraftError, InputError, reason_of, refusing

__all__ = [
    "Loaded",
    "Source",
    "find_files",
    "load_readable",
    "load_rows",
    "naming_of",
    "rows_of_dataset",
    "sha256_of",
    "take",
]

_LOADERS = {"json", "csv", "parquet", "text", "arrow"}
_NO_DATA_SETS = _LOADERS | {"pandas", "sql", "imagefolder", "audiofolder", "videofolder", "webdataset", "xml", "hdf5"}
"""Names that `datasets` takes for "all files of this kind below the working directory", private ones too."""
FILES_SHOWN = 5


@dataclass(frozen=True)
class Source:
    """Where rows came from. ``sha256`` is of the files' bytes, in order; None for a data set of the Hub."""

    path: str
    rows: int
    sha256: str | None


@dataclass(frozen=True)
class Loaded:
    """The rows to train on and, where they are given apart, those to hold out.

    Attributes:
        train: The rows to train on.
        eval: The rows to hold out; None where none are given.
        source: Where the rows to train on are from.
        eval_source: Where the rows to hold out are from.
        files: The SHA-256 of each file that was read, by its path.
        inferred: Which files of a folder were read.
        faults: What is wrong with rows that could not be read; whoever prepares the others raises it.
        test: The rows of a split ``test`` beside those to train on, which are neither; None where there is none.
    """

    train: Sequence[Row]
    eval: Sequence[Row] | None
    source: Source
    eval_source: Source | None
    files: Mapping[str, str] = field(default_factory=dict)
    inferred: Sequence[InferredSetting] = ()
    faults: Faults = field(default_factory=Faults)
    test: Sequence[Row] | None = None


class _Found(NamedTuple):
    """The rows by split, what names them, and the hashes of their files."""

    splits: Splits
    path: str
    hashes: Hashes | None
    inferred: tuple[InferredSetting, ...] = ()


def load_rows(settings: DataSettings, token: str | None = None, prefer: Sequence[str] = ("train",)) -> Loaded:
    """Return the rows to train on and, if given, those to hold out, none of which has a fault.

    Args:
        settings: The files, splits and slices.
        token: Access token for data sets of the Hub.
        prefer: The splits to take rows from when no ``train_split`` is given; the first that exists is used.

    Raises:
        InputError: With everything that is wrong with the files, their rows, splits and slices.
    """
    loaded = load_readable(settings, token, prefer)
    loaded.faults.raise_if_any()
    return loaded


def settings_of_files(settings: DataSettings, files: Sequence[str]) -> DataSettings:
    """Return the settings for reading other files in the same way."""
    other = {"data_name": None, "data_files": tuple(files), "train_split": None, "eval_split": None}
    return settings.model_copy(update={**other, "eval_data_files": None})


def load_readable(
    settings: DataSettings,
    token: str | None = None,
    prefer: Sequence[str] = ("train",),
    faults: Faults | None = None,
) -> Loaded:
    """Return the rows that can be read, and in ``faults`` what is wrong with the others, to be said with what else is.

    Arguments and errors are those of ``load_rows``, which raises the faults as well; ``faults`` takes them.
    """
    faults = Faults() if faults is None else faults
    chosen, held_out = _Chosen(), _Found({}, "", None)
    with faults.collecting():
        found = _read(settings, token, faults)
        chosen = _chosen(found, settings, prefer, faults) if found.splits else chosen
    held, eval_source = chosen.held, chosen.eval_source
    if settings.eval_data_files is not None:
        with faults.collecting():
            held_out = _named(settings.eval_data_files, "--eval_data_files", naming_of(settings), faults)
            held = _held_out(held_out.splits)
            eval_source = Source(held_out.path, len(held), held_out.hashes.together if held_out.hashes else None)
    if not chosen.train:
        faults.raise_if_any()
    return Loaded(
        without_columns(chosen.train, settings.ignore_columns),
        None if held is None else without_columns(held, settings.ignore_columns),
        chosen.source,
        eval_source if held is not None else None,
        {**chosen.files, **(held_out.hashes.each if held_out.hashes else {})},
        chosen.inferred,
        faults,
        None if chosen.test is None else without_columns(chosen.test, settings.ignore_columns),
    )


@dataclass
class _Chosen:
    """The rows of the splits that are wanted."""

    train: Sequence[Row] = ()
    held: Sequence[Row] | None = None
    source: Source = Source("", 0, None)
    eval_source: Source | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    inferred: Sequence[InferredSetting] = ()
    test: Sequence[Row] | None = None


def _chosen(found: _Found, settings: DataSettings, prefer: Sequence[str], faults: Faults) -> _Chosen:
    splits, sha256 = found.splits, found.hashes.together if found.hashes else None
    chosen = _Chosen(files=found.hashes.each if found.hashes else {}, inferred=found.inferred)
    wanted = settings.train_split or next((name for name in prefer if name in splits), next(iter(splits)))
    inside = settings.eval_split
    if inside is None and settings.train_split is None and wanted == "train" and "validation" in splits:
        inside = "validation"
    if settings.train_split is None and wanted == "train" and inside != "test":
        chosen.test = splits.get("test")
    if inside and settings.eval_data_files is None:
        with faults.collecting():
            chosen.held = take(splits, inside, "--eval_split")
            chosen.eval_source = Source(f"{found.path} {inside}", len(chosen.held), sha256)
    with faults.collecting():
        chosen.train = take(splits, wanted, "--train_split")
        chosen.source = Source(found.path, len(chosen.train), sha256)
    return chosen


def _held_out(splits: Splits) -> Sequence[Row]:
    """The rows of files that are given to hold out: those to validate on, where there are several splits."""
    for name in ("validation", "test"):
        if name in splits:
            return splits[name]
    return Joined(list(splits.values()))


def naming_of(settings: DataSettings) -> Naming:
    """Return how columns are called: as they are known, unless a template or a mapping of the user names them."""
    named = settings.text_template, settings.prompt_template, settings.completion_template
    own = settings.column_mapping is not None and ":" in settings.column_mapping
    return bare_names if own or any(template is not None for template in named) else known_names


def _read(settings: DataSettings, token: str | None, faults: Faults) -> _Found:
    naming = naming_of(settings)
    # As in `datasets`: a loader's name ("json", "csv") may stand beside the files it is for.
    if settings.data_files and settings.data_name not in {None, *_LOADERS}:
        raise InputError("--data_name and --data_files are both given", remedy="omit one of them")
    if settings.data_files is not None:
        return _named(settings.data_files, "--data_files", naming, faults)
    name = settings.data_name or ""
    if not name.strip():
        remedy = "give a file, a folder or a Hub ID"
        raise InputError("the value is empty", where="--data_name", remedy=remedy)
    path = path_of(name)
    if path.is_file():
        return _of_files([path], naming, faults)
    if path.is_dir():
        read = _prepared if is_prepared(path) else _saved if is_saved(path) else _folder
        return read(path, naming, faults)
    if path.exists():
        return _of_files(find_files([name], "--data_name"), naming, faults)  # which says what it is
    return _hub(settings, token, faults)


def _named(names: Sequence[str], option: str, naming: Naming, faults: Faults) -> _Found:
    """The rows of files, or of the prepared folder that is named in their place."""
    folder = prepared_folder(names)
    return _of_files(find_files(names, option), naming, faults) if folder is None else _prepared(folder, naming, faults)


def _prepared(path: Path, naming: Naming, faults: Faults) -> _Found:
    """The sides that ``graft prepare`` wrote."""
    files = files_of_sides(path)
    with unchanged([*files.values()]):
        splits = {name: Joined([*load_splits([file], naming, faults).values()]) for name, file in files.items()}
        hashes = _hashes([*files.values()], faults)
    why = "the sides of a prepared data set; its test side is kept for graft evaluate"
    taken = InferredSetting("data_files", [file.name for file in files.values()], why)
    return _Found({**splits}, str(path), hashes, (taken,))


def _of_files(files: list[Path], naming: Naming, faults: Faults) -> _Found:
    with unchanged(files):
        return _Found(load_splits(files, naming, faults), named_of(files), _hashes(files, faults))


def _hashes(files: Sequence[Path], faults: Faults) -> Hashes | None:
    """The hashes of files without a fault: nothing is done with the others, which may be of any size."""
    return None if faults else hashes_of(files)


def _folder(path: Path, naming: Naming, faults: Faults) -> _Found:
    files = files_in(path)
    splits: dict[str, list[Path]] = {}
    for file in files:
        splits.setdefault(split_named(str(file.relative_to(path))) or "train", []).append(file)
    rows: dict[str, list[Sequence[Row]]] = {}
    with unchanged(files):
        for name, listed in splits.items():
            for inner, part in load_splits(listed, naming, faults).items():
                rows.setdefault(inner if inner != "train" else name, []).append(part)
        hashes = _hashes(files, faults)
    joined = {name: parts[0] if len(parts) == 1 else Joined(parts) for name, parts in rows.items()}
    return _Found(joined, str(path), hashes, (_taken(path, files),))


def _taken(folder: Path, files: Sequence[Path]) -> InferredSetting:
    names = [str(file.relative_to(folder)) for file in files]
    more = [f"and {len(names) - FILES_SHOWN:,} more"] if len(names) > FILES_SHOWN else []
    one = len(names) == 1
    why = f"the {len(names):,} data {'file' if one else 'files'} of the folder; hidden ones are not read"
    return InferredSetting("data_files", [*names[:FILES_SHOWN], *more], why)


def _saved(path: Path, naming: Naming, faults: Faults) -> _Found:
    """The rows of a folder that ``datasets`` saved."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    splits: dict[str, Sequence[Row]] = {}
    with unchanged(files):
        for name, folder in saved_splits(path).items():
            with faults.collecting():
                splits[name] = Spool(plain_rows(saved_rows(folder, f"{path} {name}", faults), faults, naming))
        return _Found(splits, str(path), _hashes(files, faults))


def _rows_of_splits(splits: Mapping[Any, Any], name: str, naming: Naming, faults: Faults) -> Splits:
    rows: Splits = {}
    for split, part in splits.items():
        with refusing("`datasets` cannot read these rows", f"{name} {split}"):
            rows[str(split)] = Spool(plain_rows(rows_of_dataset(part, f"{name} {split}"), faults, naming))
    return rows


def _hub(settings: DataSettings, token: str | None, faults: Faults) -> _Found:
    name = str(settings.data_name)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or Path(name).suffix.lower() in endings():
        raise InputError("no such file or folder", where=name, remedy=near(Path(name)))
    if name in _NO_DATA_SETS:
        raise InputError(
            f"{name!r} is the name of a loader of `datasets`, and there is no file or folder of that name",
            where="--data_name",
            remedy="--data_files rows.jsonl",
        )
    from datasets import load_dataset

    try:
        found = load_dataset(name, settings.data_config_name, token=token)
    except GraftError:
        raise
    except Exception as error:
        raise InputError(
            f"there is no file or folder {name!r}, and no data set of that name could be loaded from the Hub: "
            f"{reason_of(error)}",
            remedy="check the connection and the name, or give a local file with --data_files",
        ) from error
    return _Found(_rows_of_splits(found, name, naming_of(settings), faults), name, None)


def rows_of_dataset(dataset: Any, name: str) -> Iterator[Row]:
    """Yield the rows of a ``datasets`` split, class numbers as their names."""
    features = with_classes(dataset.features.to_dict())
    for number, values in enumerate(dataset, 1):
        columns = {key: named(without_padding(plain(value)), features.get(key)) for key, value in values.items()}
        yield Row(columns, Origin(name, number))
