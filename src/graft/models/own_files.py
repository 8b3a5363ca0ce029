"""The small files of a model folder, and which links among them are followed.

A model folder may come from a stranger, and the run that is made from it may be shared. So only files with the usual
names are copied, and a link is followed only if its target came with the folder: inside it, or among the blobs of a
model in a Hub cache. Otherwise ``tokenizer.json -> /home/user/secret`` would put a private file into a run. Weights
may be links to elsewhere, such as another disk, because their targets are checked to be weights.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from graft.errors import Problems

MODEL_FILES = (
    "*.json",
    "*vocab*.txt",
    "merges*.txt",
    "*.model",
    "*.jinja",
    "*.tiktoken",
    "*.py",
    "README.md",
    "LICEN[SC]E*",
    "*_chat_templates/*.jinja",
)

_HASH = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
"""The name of a file in the Hub's cache."""


def model_files(folder: Path, patterns: Sequence[str] = MODEL_FILES) -> list[Path]:
    """Return the small files of a model folder, sorted; those that are links to elsewhere are omitted."""
    root = _root(folder)
    return sorted(file for file in _named(folder, patterns) if _came_with(file, root))


def refuse_foreign_links(folder: Path, problems: Problems) -> None:
    """Add a problem for each small file of a model folder that is a link to elsewhere."""
    root = _root(folder)
    for file in sorted(_named(folder, MODEL_FILES)):
        if not _came_with(file, root):
            problems.add(
                "this link leads outside the model folder, and a run would copy what it leads to",
                file,
                f"if it belongs to the model, copy the folder with its links resolved: cp -rL {folder.name} copy-of-it",
            )


def _named(folder: Path, patterns: Sequence[str]) -> set[Path]:
    return {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}


def _came_with(file: Path, root: Path) -> bool:
    found = file.resolve()
    return found.is_relative_to(root) or _is_blob(found, root)


def _root(folder: Path) -> Path:
    """The folder itself; of a snapshot in the Hub's cache, its repository, which holds the snapshot's files."""
    folder = folder.resolve()
    repository = folder.parent.parent
    in_cache = folder.parent.name == "snapshots" and repository.name.startswith("models--")
    return repository if in_cache else folder


def _is_blob(file: Path, root: Path) -> bool:
    """Whether a file is among the blobs of a model in a Hub cache of this user's, where hashes are the names.

    The blobs of a snapshot can be a link to another disk, and ``huggingface-cli download --local-dir`` made links into
    the cache before version 0.23.
    """
    blobs = file.parent
    of_model = blobs.name == "blobs" and blobs.parent.name.startswith("models--")
    if not _HASH.fullmatch(file.name) or not (of_model or blobs == (root / "blobs").resolve()):
        return False
    return os.name != "posix" or blobs.stat().st_uid == os.getuid()
