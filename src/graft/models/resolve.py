"""From what a user calls a model to a local, checked folder."""

from __future__ import annotations

import re
from pathlib import Path

from graft.config import ModelSettings
from graft.data.readers import endings
from graft.errors import InputError, did_you_mean
from graft.models.adapter_config import CONFIG
from graft.models.embedded import EMBEDDED, fetch
from graft.models.folder import Base, open_folder
from graft.models.gguf_reader import open_gguf
from graft.models.hub import snapshot
from graft.progress import SILENT, Reporter
from graft.runs.kind import FolderKind, folder_kind, what_to_do
from graft.shell import command

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def resolve(settings: ModelSettings, reporter: Reporter = SILENT) -> Base:
    """The base that ``settings`` name: a folder, a ``.gguf`` file, an embedded name, or a hub id, in this order.

    Raises:
        InputError: when there is no such model, its folder is not whole, or a revision is asked for of what is not from
            the hub.
        GraftError: when it has to be downloaded and cannot be.
    """
    base = _found(settings, reporter)
    if settings.model_revision and base.kind != "hub":
        what = f"{base.label} is not a Hub model, so it has no revision {settings.model_revision!r}"
        raise InputError(what, where="--model_revision", remedy="omit it")
    return base


def _found(settings: ModelSettings, reporter: Reporter) -> Base:
    name = settings.model_name_or_path
    if not name:
        raise InputError("no model is given", where="model_name_or_path", remedy=f"for example {next(iter(EMBEDDED))}")
    path = Path(name).expanduser()
    if path.is_dir():
        return _from_folder(path, settings.trust_remote_code, reporter)
    if path.suffix.lower() == ".gguf":
        return open_gguf(path, reporter)
    if path.is_file():
        raise InputError("a model is a folder or a .gguf file, not this file", where=str(path), remedy=_instead(path))
    if name.lower() in EMBEDDED:
        return open_folder(fetch(name.lower(), reporter), name.lower(), "embedded")
    if not _HUB_ID.fullmatch(name) or name.startswith("."):
        raise InputError(f"the model folder {name!r} does not exist", remedy=_beside(path))
    folder = snapshot(name, settings.model_revision, settings.token, settings.trust_remote_code, reporter)
    return open_folder(folder, name, "hub", settings.trust_remote_code)


def _from_folder(path: Path, trust_remote_code: bool, reporter: Reporter) -> Base:
    _refuse_other_folders(path)
    files = sorted(path.glob("*.gguf"))
    if files and not (path / "config.json").exists():
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise InputError(
                f"this folder has several GGUF files: {names}", where=str(path), remedy="give the path of one file"
            )
        return open_gguf(files[0], reporter)
    return open_folder(path, str(path.resolve()), "folder", trust_remote_code)


def _refuse_other_folders(path: Path) -> None:
    """A run or an adapter is no base: starting from it would drop what it learned without a word."""
    if (path / "config.json").exists():
        return
    kind = folder_kind(path)
    if kind in (FolderKind.SEARCH, FolderKind.EVALUATION, FolderKind.DATA, FolderKind.DATA_FILES, FolderKind.EMPTY):
        raise InputError(f"this is {kind.value}, not a model", where=str(path), remedy=what_to_do(kind, path))
    if kind is FolderKind.BUNDLE:
        raise InputError("this is an exported bundle, not a model", where=str(path), remedy=what_to_do(kind, path))
    if kind is FolderKind.RUN and (path / "model").is_dir():
        remedy = f"{command('graft', 'finetune', path, 'DATA')} continues from it"
        raise InputError("this is a run folder, not a model", where=str(path), remedy=remedy)
    if (path / CONFIG).is_file():
        raise InputError(
            "this is an adapter, not a model", where=str(path), remedy="give the model that it was trained on"
        )


def _instead(file: Path) -> str:
    """What to give in place of a file that is no model."""
    if file.suffix.lower() in endings():
        return "give the model first, then the data: graft finetune MODEL DATA"
    if folder_kind(file.parent) is FolderKind.MODEL:
        return f"give its folder, {file.parent}"
    return "give a folder with config.json, a tokenizer and model.safetensors, or a .gguf file"


def _beside(path: Path) -> str:
    """What lies where the folder was looked for."""
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    if not names:
        return f"the folder {str(path.parent)!r} does not exist either"
    return did_you_mean(path.name, names)
