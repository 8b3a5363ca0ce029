"""Data by file, glob, folder or Hub id; splits and slices."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from graft.config import DataSettings, split_paths
from graft.data.columns.known import known_names
from graft.data.example import Origin
from graft.data.features import named, with_classes
from graft.data.ignored import without_columns
from graft.data.readers import Naming, Row, bare_names, endings, load_splits, reader_of
from graft.data.readers.json_shapes import split_named
from graft.data.readers.plain import plain_rows
from graft.data.spool import Joined, Spool
from graft.data.values import plain, without_padding
from graft.errors import GraftError, InputError, Problems, did_you_mean

_PART = re.compile(r"^(\w[\w-]*)(?:\[(-?\d{1,18}%?)?:(-?\d{1,18}%?)?\])?$")
_LOADERS = {"json", "csv", "parquet", "text", "arrow"}
_NO_DATA_SETS = _LOADERS | {"pandas", "sql", "imagefolder", "audiofolder", "videofolder", "webdataset", "xml", "hdf5"}
"""Names that `datasets` takes for "all files of this kind below the working directory", private ones too."""
_DATASET_FILES = ("dataset_dict.json", "state.json")
_DESCRIPTIONS = {"dataset_info.json", "dataset_infos.json", *_DATASET_FILES}
Splits = dict[str, Sequence[Row]]


@dataclass(frozen=True)
class Source:
    """Where rows came from. ``sha256`` is of the files' bytes, in order; None for a data set of the Hub."""

    path: str
    rows: int
    sha256: str | None


@dataclass(frozen=True)
class Loaded:
    """The rows to train on and, where they are given apart, those to hold out."""

    train: Sequence[Row]
    eval: Sequence[Row] | None
    source: Source
    eval_source: Source | None


def load_rows(settings: DataSettings, token: str | None = None, prefer: Sequence[str] = ("train",)) -> Loaded:
    """Return the rows to train on and, if given, those to hold out.

    Args:
        settings: The files, splits and slices.
        token: Access token for data sets of the Hub.
        prefer: The splits to take rows from when no ``train_split`` is given; the first that exists is used.

    Raises:
        InputError: With everything that is wrong with the files, splits and slices.
    """
    problems = Problems()
    train: Sequence[Row] = []
    held: Sequence[Row] | None = None
    source = eval_source = Source("", 0, None)
    with problems.collecting():
        splits, path, sha256 = _read(settings, token)
        wanted = settings.train_split or next((name for name in prefer if name in splits), next(iter(splits)))
        inside = settings.eval_split
        if inside is None and settings.train_split is None and wanted == "train" and "validation" in splits:
            inside = "validation"
        if inside and not settings.eval_data_files:
            with problems.collecting():
                held = take(splits, inside, "--eval_split")
                eval_source = Source(f"{path} {inside}", len(held), sha256)
        train = take(splits, wanted, "--train_split")
        source = Source(path, len(train), sha256)
    if settings.eval_data_files:
        with problems.collecting():
            files = find_files(settings.eval_data_files)
            held = _held_out(load_splits(files, naming_of(settings)))
            eval_source = Source(_named(files), len(held), sha256_of(*files))
    problems.raise_if_any()
    train = without_columns(train, settings.ignore_columns)
    held = None if held is None else without_columns(held, settings.ignore_columns)
    return Loaded(train, held, source, eval_source if held is not None else None)


def _held_out(splits: Splits) -> Sequence[Row]:
    """The rows of files that are given to hold out: those to validate on, where there are several splits."""
    for name in ("validation", "test"):
        if name in splits:
            return splits[name]
    return Joined(list(splits.values()))


class _Found(NamedTuple):
    """The rows by split, what names them, and the SHA-256 of their files."""

    splits: Splits
    path: str
    sha256: str | None


def naming_of(settings: DataSettings) -> Naming:
    """Return how columns are called: as they are known, unless a template or a mapping of the user names them."""
    named = settings.text_template, settings.prompt_template, settings.completion_template
    own = settings.column_mapping is not None and ":" in settings.column_mapping
    return bare_names if own or any(template is not None for template in named) else known_names


def _read(settings: DataSettings, token: str | None) -> _Found:
    naming = naming_of(settings)
    # As in `datasets`: a loader's name ("json", "csv") may stand beside the files it is for.
    if settings.data_files and settings.data_name not in {None, *_LOADERS}:
        raise InputError("--data_name and --data_files are both given", remedy="omit one of them")
    if settings.data_files:
        files = find_files(settings.data_files)
        return _Found(load_splits(files, naming), _named(files), sha256_of(*files))
    name = settings.data_name or ""
    if not name.strip():
        option = "--data_name" if settings.data_files is None else "--data_files"
        raise InputError("the name of the data is empty", where=option, remedy="give a file, a folder or a Hub ID")
    path = _path(name)
    if path.is_file():
        return _Found(load_splits([path], naming), str(path), sha256_of(path))
    if path.is_dir():
        return _folder(path, naming)
    return _hub(settings, token)


def _path(name: str) -> Path:
    """The path with the home directory in place of ``~``, where there is such a user and the name is not too long."""
    try:
        path = Path(name).expanduser()
        path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"this is not the name of a file: {error}", where=name[:200]) from error
    return path


def find_files(patterns: Sequence[str]) -> list[Path]:
    """Return the files named, with globs expanded.

    Raises:
        InputError: Naming every file that does not exist, with the nearest that does.
    """
    problems = Problems()
    files: list[Path] = []
    for pattern in (part for given in patterns for part in split_paths(given)):
        found = _matching(pattern)
        if not found:
            _refuse_missing(pattern, problems)
        files += found
    problems.raise_if_any()
    return files


def _matching(pattern: str) -> list[Path]:
    path = _path(pattern)
    found = [path] if path.is_file() else _spread(path)
    return [file for file in found if file.is_file()]


def _refuse_missing(pattern: str, problems: Problems) -> None:
    """Say that there is no such file; with commas, neither by the whole name nor by each part that is missing."""
    parts = [part.strip() for part in pattern.split(",") if part.strip()]
    if len(parts) < 2:
        path = _path(pattern)
        what = "this is a folder, not a file" if path.is_dir() else "no such file"
        problems.add(what, pattern, "--data_name takes a folder" if path.is_dir() else _near(path))
        return
    for part in parts:
        if not _matching(part):
            what = f"no such file, as one of {len(parts)} separated by commas; nor is there a file {pattern!r}"
            problems.add(what, part, _near(_path(part)))


def _spread(pattern: Path) -> list[Path]:
    """The files that match a glob, in order."""
    anchor = Path(pattern.anchor)
    try:
        return sorted(anchor.glob(str(pattern.relative_to(anchor))))
    except (ValueError, NotImplementedError, IndexError):  # such as an empty pattern, or a/**b
        return []


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return f"the folder {str(path.parent)!r} does not exist either"
    return did_you_mean(path.name, [entry.name for entry in path.parent.iterdir()])


def _folder(path: Path, naming: Naming) -> _Found:
    if any((path / name).is_file() for name in _DATASET_FILES):
        return _saved(path, naming)
    files = sorted(file for file in path.rglob("*") if _is_data(file.relative_to(path)) and file.is_file())
    if not files:
        raise InputError(f"this folder has no data files ({', '.join(endings())})", where=str(path))
    splits: dict[str, list[Path]] = {}
    for file in files:
        splits.setdefault(split_named(str(file.relative_to(path))) or "train", []).append(file)
    problems = Problems()
    rows: dict[str, list[Sequence[Row]]] = {}
    for name, listed in splits.items():
        with problems.collecting():
            for inner, part in load_splits(listed, naming).items():
                rows.setdefault(inner if inner != "train" else name, []).append(part)
    problems.raise_if_any()
    joined = {name: parts[0] if len(parts) == 1 else Joined(parts) for name, parts in rows.items()}
    return _Found(joined, str(path), sha256_of(*files))


def _is_data(file: Path) -> bool:
    """Whether a file of a folder has rows: hidden ones have none, nor those that describe a data set."""
    hidden = any(part.startswith((".", "__")) for part in file.parts)
    return not hidden and file.name not in _DESCRIPTIONS and reader_of(file) is not None


def _saved(path: Path, naming: Naming) -> _Found:
    """The rows of a folder that ``datasets`` saved."""
    from datasets import Dataset, load_from_disk

    try:
        found = load_from_disk(str(path))
    except Exception as error:  # whatever a damaged folder makes the library raise
        raise InputError(f"`datasets` cannot load this folder: {_reason(error)}", where=str(path)) from error
    splits = {"train": found} if isinstance(found, Dataset) else dict(found)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return _Found(_rows_of_splits(splits, str(path), naming), str(path), sha256_of(*files))


def _rows_of_splits(splits: Mapping[Any, Any], name: str, naming: Naming) -> Splits:
    problems = Problems()
    rows = {
        str(split): Spool(plain_rows(rows_of_dataset(part, f"{name} {split}"), problems, naming))
        for split, part in splits.items()
    }
    problems.raise_if_any()
    return dict(rows)


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _hub(settings: DataSettings, token: str | None) -> _Found:
    name = str(settings.data_name)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or Path(name).suffix.lower() in endings():
        raise InputError("no such file or folder", where=name, remedy=_near(Path(name)))
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
            f"{_reason(error)}",
            remedy="check the connection and the name, or give a local file with --data_files",
        ) from error
    return _Found(_rows_of_splits(found, name, naming_of(settings)), name, None)


def rows_of_dataset(dataset: Any, name: str) -> Iterator[Row]:
    """Yield the rows of a ``datasets`` split, class numbers as their names."""
    features = with_classes(dataset.features.to_dict())
    for number, values in enumerate(dataset, 1):
        columns = {key: named(without_padding(plain(value)), features.get(key)) for key, value in values.items()}
        yield Row(columns, Origin(name, number))


def take(splits: Splits, spec: str, option: str) -> Sequence[Row]:
    """Return the rows of ``train``, ``train[:4096]``, ``train[10%:20%]``, ``train[-100:]``, or a sum of these by ``+``.

    Raises:
        InputError: For another form, a split that does not exist, or a slice without rows.
    """
    parts: list[Sequence[Row]] = []
    for part in spec.replace(" ", "").split("+"):
        match = _PART.match(part)
        if match is None:
            raise InputError(f"{part!r} is not of the form train, train[:100] or train[10%:]", where=option)
        name, start, stop = match.groups()
        if name not in splits:
            raise InputError(
                f"there is no split {name!r}; there are: {', '.join(splits)}",
                where=option,
                remedy=did_you_mean(name, splits),
            )
        count = len(splits[name])
        parts.append(splits[name][_place(start, count, 0) : _place(stop, count, count)])
    rows = parts[0] if len(parts) == 1 else Joined(parts)
    if not rows:
        raise InputError(f"{spec} has no rows", where=option, remedy=f"{name} has {len(splits[name])}")
    return rows


def _place(text: str | None, count: int, otherwise: int) -> int:
    if text is None:
        return otherwise
    if text.endswith("%"):
        return round(int(text[:-1]) / 100 * count)
    return int(text)


def _named(files: Sequence[Path]) -> str:
    return str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"


def sha256_of(*files: Path) -> str:
    """Return the hexadecimal digest of the files' bytes, one file after the other."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            for chunk in iter(lambda: stream.read(1 << 20), b""):
                digest.update(chunk)
    return digest.hexdigest()
