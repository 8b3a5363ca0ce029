"""Weight files: which there are, whether they are whole, and their hash; nothing is loaded."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from graft.documents import read_object, shown
from graft.errors import InputError, Problems, reason_of
from graft.files import TEMPORARY, remove_stale
from graft.models.cache import cache_folder
from graft.models.safetensors_header import REMEDY, TensorEntry, read_header
from graft.ownership import is_private, private_folder

SAFE, SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


Tensors: TypeAlias = dict[str, TensorEntry]


def find_weights(folder: Path, problems: Problems) -> list[Path]:
    """The weight files that ``from_pretrained`` would read, each checked to be whole.

    safetensors come first; pickles are taken only where there are none, and are read with ``weights_only``.
    """
    return [*read_headers(folder, problems)]


def read_headers(folder: Path, problems: Problems) -> dict[Path, Tensors | None]:
    """The files of ``find_weights``, each with its tensors; None for a pickle or a damaged file."""
    for single, index in ((SAFE, SAFE_INDEX), (PICKLE, PICKLE_INDEX)):
        if (folder / single).exists():
            files = [folder / single]
        elif (folder / index).exists():
            files = _shards(folder / index, problems)
        else:
            continue
        return {file: check_file(file, problems) for file in files}
    dangling = [name for name in (SAFE, PICKLE) if (folder / name).is_symlink()]
    problems.add(
        f"{dangling[0]} is a link to a missing file" if dangling else "there are no weights in this model folder",
        folder,
        f"a model folder holds {SAFE}, or {SAFE_INDEX} and its parts; copy or download the model again",
    )
    return {}


def _shards(index: Path, problems: Problems) -> list[Path]:
    try:
        listed = read_object(index).get("weight_map")
    except InputError as error:
        problems.found.extend(error.problems)
        return []
    if not isinstance(listed, dict) or not all(isinstance(name, str) for name in listed.values()):
        problems.add("this is not an index of weight files", index, "copy or download the model again")
        return []
    names = sorted(set(listed.values()))
    foreign = [name for name in names if not _is_plain(name, index)]
    if foreign:
        what = f"this index names {shown(foreign[0])}, which is not a weight file in this folder"
        problems.add(what, index, "copy or download the model again")
        return []
    missing = [name for name in names if not (index.parent / name).exists()]
    if missing:
        problems.add(
            f"{len(missing)} of {len(names)} listed weight files are missing: {', '.join(missing[:5])}",
            index,
            "copy or download them again",
        )
    return [index.parent / name for name in names if name not in missing]


def _is_plain(name: str, index: Path) -> bool:
    """Whether an index names a weight file of its own kind by its name alone, without a path."""
    ending = ".safetensors" if index.name == SAFE_INDEX else ".bin"
    return name.endswith(ending) and not set(name) & set("/\\:\0") and len(name) < 256


def check_file(file: Path, problems: Problems) -> Tensors | None:
    """Return the tensors of a safetensors file; None for a pickle or a damaged file.

    Adds a problem when ``file`` is truncated, or its content does not match its name.
    """
    if not file.is_file():  # a folder; a pipe or a device, which may have no end
        problems.add("this is not a regular file", file, "copy or download the weights again")
        return None
    try:
        with problems.collecting():
            return _checked(file, problems)
    except (OSError, zipfile.BadZipFile) as error:
        problems.add(f"cannot read the weight file: {reason_of(error)}", file)
    return None


def _checked(file: Path, problems: Problems) -> Tensors | None:
    with file.open("rb") as stream:
        start = stream.read(8)
    if start == b"version ":
        problems.add("this is a Git LFS pointer, not the weights", file, "download the file with `git lfs pull`")
    elif file.suffix == ".safetensors":
        return read_header(file)
    elif start[:2] == b"PK" and not zipfile.is_zipfile(file):
        problems.add("the weight file is truncated", file, REMEDY)
    elif not _is_torch(file, start):
        problems.add("this is not a PyTorch weight file", file, REMEDY)
    return None


def _is_torch(file: Path, start: bytes) -> bool:
    """Whether a file looks as ``torch.save`` writes it: an archive with a pickle, or before version 1.6 a pickle."""
    if start[:2] != b"PK":
        return start[:1] == b"\x80"
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("data.pkl") for name in archive.namelist())


def sha256_of(files: Sequence[Path]) -> str:
    """The SHA-256 of one file; of several, that of the lines ``hash  name`` as sha256sum writes them."""
    if len(files) == 1:
        return _remembered_sha256(files[0])
    lines = "".join(f"{_remembered_sha256(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _remembered_sha256(file: Path) -> str:
    """Large files are hashed once: the hash is kept by path, size, time of change and inode."""
    status = file.stat()
    key = f"{file.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"
    memory = cache_folder() / "hashes" / hashlib.sha256(key.encode()).hexdigest()
    if is_private(memory) and len(known := memory.read_text(encoding="utf-8")) == 64:
        return known
    found = file_sha256(file)
    try:
        remove_stale(memory.parent)
        handle, temporary = tempfile.mkstemp(suffix=TEMPORARY, dir=private_folder(memory.parent))
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(found)
        Path(temporary).replace(memory)
    except (OSError, InputError):
        pass  # without a cache to write to it is hashed again the next time
    return found


def file_sha256(file: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()
