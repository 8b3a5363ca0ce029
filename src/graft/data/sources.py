"""Data by file, glob, folder or Hub id; splits and slices."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from graft.config import DataSettings
from graft.data.example import Origin
from graft.data.ignored import without_columns
from graft.data.readers import Row, endings, load_file, load_files
from graft.data.spool import Joined, Spool
from graft.data.values import plain, without_padding
from graft.errors import GraftError, InputError, Problems, did_you_mean

_PART = re.compile(r"^(\w[\w-]*)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?$")
_DATASET_FILES = ("dataset_dict.json", "state.json")
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
            held = load_files(files)
            eval_source = Source(_named(files), len(held), sha256_of(*files))
    problems.raise_if_any()
    train = without_columns(train, settings.ignore_columns)
    held = None if held is None else without_columns(held, settings.ignore_columns)
    return Loaded(train, held, source, eval_source if held is not None else None)


class _Found(NamedTuple):
    """The rows by split, what names them, and the SHA-256 of their files."""

    splits: Splits
    path: str
    sha256: str | None


def _read(settings: DataSettings, token: str | None) -> _Found:
    # As in `datasets`: a loader's name ("json", "csv") may stand beside the files it is for.
    if settings.data_files and settings.data_name not in {None, "json", "csv", "parquet", "text", "arrow"}:
        raise InputError("--data_name and --data_files are both given", remedy="omit one of them")
    if settings.data_files:
        files = find_files(settings.data_files)
        return _Found({"train": load_files(files)}, _named(files), sha256_of(*files))
    name = str(settings.data_name)
    path = Path(name).expanduser()
    if path.is_file():
        return _Found({"train": load_file(path)}, str(path), sha256_of(path))
    if path.is_dir():
        return _folder(path)
    return _hub(settings, token)


def find_files(patterns: Sequence[str]) -> list[Path]:
    """Return the files named, with globs expanded.

    Raises:
        InputError: Naming every file that does not exist, with the nearest that does.
    """
    problems = Problems()
    files: list[Path] = []
    for pattern in patterns:
        path = Path(pattern).expanduser()
        found = [path] if path.is_file() else _spread(path)
        found = [file for file in found if file.is_file()]
        if not found:
            what = "this is a folder, not a file" if path.is_dir() else "no such file"
            problems.add(what, pattern, "--data_name takes a folder" if path.is_dir() else _near(path))
        files += found
    problems.raise_if_any()
    return files


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


def _folder(path: Path) -> _Found:
    if any((path / name).is_file() for name in _DATASET_FILES):
        from datasets import Dataset, load_from_disk

        found = load_from_disk(str(path))
        splits = {"train": found} if isinstance(found, Dataset) else dict(found)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        rows = {str(split): Spool(rows_of_dataset(part, f"{path} {split}")) for split, part in splits.items()}
        return _Found(dict(rows), str(path), sha256_of(*files))
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in endings())
    if not files:
        raise InputError(f"this folder has no data files ({', '.join(endings())})", where=str(path))
    named: dict[str, list[Path]] = {}
    for file in files:
        named.setdefault(_split_of(file.stem), []).append(file)
    rows = {name: load_files(listed) for name, listed in named.items()}
    return _Found(dict(rows), str(path), sha256_of(*files))


def _split_of(stem: str) -> str:
    """``tone-test`` is a test split; a file without such a word is the training split."""
    words = re.split(r"[^a-z]+", stem.lower())
    for name, spellings in (("test", {"test"}), ("validation", {"validation", "valid", "val", "dev", "eval"})):
        if spellings & set(words):
            return name
    return "train"


def _hub(settings: DataSettings, token: str | None) -> _Found:
    name = str(settings.data_name)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or Path(name).suffix.lower() in endings():
        raise InputError("no such file or folder", where=name, remedy=_near(Path(name)))
    from datasets import load_dataset

    try:
        found = load_dataset(name, settings.data_config_name, token=token)
    except GraftError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"there is no file or folder {name!r}, and no data set of that name could be loaded from the Hub: {reason}",
            remedy="check the connection and the name, or give a local file with --data_files",
        ) from error
    splits = {str(split): Spool(rows_of_dataset(rows, f"{name} {split}")) for split, rows in found.items()}
    return _Found(dict(splits), name, None)


def rows_of_dataset(dataset: Any, name: str) -> Iterator[Row]:
    """Yield the rows of a ``datasets`` split, class numbers as their names."""
    classes_of = {key: getattr(feature, "feature", feature) for key, feature in dataset.features.items()}
    names = {key: feature.names for key, feature in classes_of.items() if hasattr(feature, "int2str")}
    for number, values in enumerate(dataset, 1):
        columns = {key: without_padding(plain(value)) for key, value in values.items()}
        for key, classes in names.items():
            columns[key] = _class_name(columns[key], classes)
        yield Row(columns, Origin(name, number))


def _class_name(value: Any, classes: Sequence[str]) -> Any:
    """The name of a class number, or the names of a list of them."""
    if isinstance(value, list):
        return [_class_name(item, classes) for item in value]
    return classes[value] if isinstance(value, int) and 0 <= value < len(classes) else value


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
