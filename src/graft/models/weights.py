"""Weight files: which there are, whether they are whole, and their hash; nothing is loaded."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from graft.errors import Problems
from graft.models.cache import cache_folder

SAFE, SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


def find_weights(folder: Path, problems: Problems) -> list[Path]:
    """The weight files that ``from_pretrained`` would read, each checked to be whole.

    safetensors come first; pickles are taken only where there are none, and are read with ``weights_only``.
    """
    for single, index in ((SAFE, SAFE_INDEX), (PICKLE, PICKLE_INDEX)):
        if (folder / single).exists():
            files = [folder / single]
        elif (folder / index).exists():
            files = _shards(folder / index, problems)
        else:
            continue
        for file in files:
            check_file(file, problems)
        return files
    dangling = [name for name in (SAFE, PICKLE) if (folder / name).is_symlink()]
    problems.add(
        f"{dangling[0]} is a link to a missing file" if dangling else "there are no weights in this model folder",
        folder,
        f"a model folder holds {SAFE}, or {SAFE_INDEX} and its parts; copy or download the model again",
    )
    return []


def _shards(index: Path, problems: Problems) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError):
        problems.add("this is not an index of weight files", index, "copy or download the model again")
        return []
    missing = [name for name in names if not (index.parent / name).exists()]
    if missing:
        problems.add(
            f"{len(missing)} of {len(names)} listed weight files are missing: {', '.join(missing)}",
            index,
            "copy or download them again",
        )
    return [index.parent / name for name in names if name not in missing]


def check_file(file: Path, problems: Problems) -> None:
    """Add a problem when ``file`` is cut short, or is something else than its name says."""
    with file.open("rb") as stream:
        start = stream.read(8)
    if start == b"version ":
        problems.add("this is a Git LFS pointer, not the weights", file, "download the file with `git lfs pull`")
    elif file.suffix == ".safetensors":
        _check_safetensors(file, start, problems)
    elif start[:2] == b"PK" and not zipfile.is_zipfile(file):
        problems.add("the weight file is truncated", file, "copy or download it again")


def _check_safetensors(file: Path, start: bytes, problems: Problems) -> None:
    """The header gives each tensor's place in the file, hence the file's length (safetensors' format page)."""
    size = file.stat().st_size
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else None
    if length is not None and 8 + length <= size:
        with file.open("rb") as stream:
            stream.seek(8)
            expected = _end_of_data(stream.read(length))
        if expected is None:
            problems.add("this is not a safetensors file", file, "copy or download it again")
        elif 8 + length + expected != size:
            problems.add(
                f"the weight file is truncated or damaged: {size:,} bytes instead of {8 + length + expected:,}",
                file,
                "copy or download it again",
            )
    elif length is not None and length < 100_000_000:  # the format's limit on headers
        problems.add(f"the weight file is truncated: {size:,} bytes, less than its header", file, "download it again")
    else:
        problems.add("this is not a safetensors file", file, "copy or download it again")


def _end_of_data(header: bytes) -> int | None:
    try:
        entries = json.loads(header)
        return max((entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def sha256_of(files: Sequence[Path]) -> str:
    """The SHA-256 of one file; of several, that of the lines ``hash  name`` as sha256sum writes them."""
    if len(files) == 1:
        return _remembered_sha256(files[0])
    lines = "".join(f"{_remembered_sha256(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _remembered_sha256(file: Path) -> str:
    """Large files are hashed once: the hash is kept by path, size and time of change."""
    status = file.stat()
    key = f"{file.resolve()}|{status.st_size}|{status.st_mtime_ns}"
    memory = cache_folder() / "hashes" / hashlib.sha256(key.encode()).hexdigest()
    if memory.is_file() and len(known := memory.read_text(encoding="utf-8")) == 64:
        return known
    found = file_sha256(file)
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=memory.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(found)
        Path(temporary).replace(memory)
    except OSError:
        pass  # without a cache to write to it is hashed again the next time
    return found


def file_sha256(file: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()
