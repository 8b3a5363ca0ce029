"""The small files that belong to a model folder, and which links among them are followed.

A model folder may come from a stranger, and a run that is made of it may go to others. So only files by the names that
model folders have are copied, and a link is followed only to a file that came with the folder: within it, or within the
repository of the Hub's cache that it is a snapshot of. Else ``tokenizer.json -> /home/user/secret`` would put a private
file into a run. Weights may be links to elsewhere, such as to another disk: what they lead to has to be weights.
"""

from __future__ import annotations

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
                "this is a link to a file outside of the model folder, whose content a run would copy",
                file,
                "replace the link by the file if it belongs to the model, or remove the link",
            )


def _named(folder: Path, patterns: Sequence[str]) -> set[Path]:
    return {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}


def _came_with(file: Path, root: Path) -> bool:
    return file.resolve().is_relative_to(root)


def _root(folder: Path) -> Path:
    """The folder itself; of a snapshot in the Hub's cache, its repository, which holds the snapshot's files."""
    folder = folder.resolve()
    repository = folder.parent.parent
    in_cache = folder.parent.name == "snapshots" and repository.name.startswith("models--")
    return repository if in_cache else folder
