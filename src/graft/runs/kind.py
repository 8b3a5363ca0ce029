"""What a folder is. Every command asks here."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from pathlib import Path

from graft.config import one_of
from graft.data.readers import endings
from graft.documents import read_object
from graft.errors import InputError
from graft.runs.manifest import MANIFEST
from graft.runs.search_manifest import WINNER
from graft.shell import command, path_word


class FolderKind(Enum):
    """The kinds of folders; the value is what an error message calls it."""

    RUN = "a run folder"
    BUNDLE = "an exported bundle"
    SEARCH = "a search folder"
    DATA = "a prepared data set"
    WORKFLOW = "the folder of a workflow"
    EVALUATION = "an evaluation without a run"
    MODEL = "a model folder"
    ADAPTER = "an adapter folder"
    DATA_FILES = "a folder with data files"
    EMPTY = "an empty folder"
    OTHER = "a folder that graft does not recognize"
    FILE = "a file"
    MISSING = "not there"


_RECORDED = {
    "run": FolderKind.RUN,
    "bundle": FolderKind.BUNDLE,
    "search": FolderKind.SEARCH,
    "data": FolderKind.DATA,
    "workflow": FolderKind.WORKFLOW,
}


def folder_kind(path: Path) -> FolderKind:
    """Return what ``path`` is, by its manifest and the names of its files; nothing is loaded."""
    if not path.is_dir():
        return FolderKind.FILE if path.exists() else FolderKind.MISSING
    if (path / MANIFEST).is_file():
        recorded = _by_manifest(path)
        if recorded is not None:
            return recorded
    if (path / "config.json").is_file() or any(path.glob("*.gguf")):
        return FolderKind.MODEL
    if (path / "adapter_config.json").is_file():
        return FolderKind.ADAPTER
    if (path / "evaluation.json").is_file():
        return FolderKind.EVALUATION
    if (path / "tokenizer.json").is_file() or any(path.glob("*.safetensors")):
        return FolderKind.MODEL  # not whole: opening it says what is missing
    names = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    readable = endings()
    if any(entry.suffix.lower() in readable for entry in names):
        return FolderKind.DATA_FILES
    return FolderKind.OTHER if names else FolderKind.EMPTY


def _by_manifest(path: Path) -> FolderKind | None:
    """A manifest of graft 0.1 names no kind: it is a run's. A model may have a manifest.json of another program."""
    try:
        document = read_object(path / MANIFEST)
    except InputError:
        document = {}  # reading it as a run's says what is wrong with it
    kind = document.get("kind")
    if isinstance(kind, str) and kind in _RECORDED:
        return _RECORDED[kind]
    ours = bool({"graft", "status"} & document.keys())
    return FolderKind.RUN if ours or not (path / "config.json").is_file() else None


def is_run(path: Path) -> bool:
    """Whether ``path`` is a run folder."""
    return folder_kind(path) is FolderKind.RUN


def is_bundle(path: Path) -> bool:
    """Whether ``path`` is an exported bundle."""
    return folder_kind(path) is FolderKind.BUNDLE


def expect_kind(path: Path, wanted: Collection[FolderKind], remedy: str = "") -> FolderKind:
    """Return the kind of ``path``.

    Raises:
        InputError: If it is none of ``wanted``; the message says what it is, and what to do with that.
    """
    kind = folder_kind(path)
    if kind in wanted:
        return kind
    names = one_of(one.value for one in wanted)
    what = "no such folder" if kind is FolderKind.MISSING else f"this is {kind.value}, not {names}"
    raise InputError(what, where=str(path), remedy=remedy or what_to_do(kind, path))


def what_to_do(kind: FolderKind, path: Path) -> str:
    """Return what can be done with a folder of this kind."""
    show, chat = command("graft", "show", path), command("graft", "chat", path)
    tune, use = command("graft", "finetune", path, "DATA"), command("graft", "finetune", "MODEL", path)
    return {
        FolderKind.RUN: show,
        FolderKind.BUNDLE: f"{show} describes it; {chat} runs it",
        FolderKind.SEARCH: f"give its winner: {path_word(path / WINNER)}; {show} describes the search",
        FolderKind.EVALUATION: show,
        FolderKind.MODEL: f"{show} describes it; {tune} tunes it",
        FolderKind.ADAPTER: f"{show} describes it; {chat} runs it; {tune} continues from it",
        FolderKind.DATA: f"{show} describes it; {use} trains on it",
        FolderKind.DATA_FILES: f"{use} trains on it",
        FolderKind.WORKFLOW: "give the folder of one of its passes, which is in it",
    }.get(kind, "give the folder that graft finetune or graft auto-opt wrote to --output_path")
