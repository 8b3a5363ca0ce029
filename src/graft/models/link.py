"""A run's ``model/``: the base by link, so that its bytes are on the disk once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from graft.errors import Problems
from graft.models.folder import Base
from graft.models.own_files import model_files
from graft.models.weights import find_weights


def link(base: Base, folder: Path, copy: bool = False) -> None:
    """Make ``folder`` a model folder that loads as ``base`` does.

    Weights become hard links; where the file system has none, symbolic links; else, or with ``copy``, copies. Small
    files are copied, so that changing them (a chat template, say) leaves the base as it is; ``own_files`` says which.

    Raises:
        InputError: when the base's weights are gone.
    """
    problems = Problems()
    weights = find_weights(base.path, problems)
    problems.raise_if_any()
    if folder.exists() and folder.samefile(base.path):  # a run that is resumed without its base elsewhere
        return
    folder.mkdir(parents=True, exist_ok=True)
    for file in model_files(base.path):
        if file.name == "graft.json":
            continue
        target = folder / file.relative_to(base.path)
        target.parent.mkdir(exist_ok=True)
        _fresh(target)
        shutil.copyfile(file, target)
    for file in weights:
        if copy or not _same(file, folder / file.name):
            _fresh(folder / file.name)
            _link_file(file.resolve(), folder / file.name, copy)


def _same(file: Path, other: Path) -> bool:
    return other.exists() and file.samefile(other)


def _fresh(file: Path) -> None:
    """Take away what is there: writing into a link would change the other end."""
    file.unlink(missing_ok=True)


def _link_file(file: Path, target: Path, copy: bool) -> None:
    for make in (shutil.copyfile,) if copy else (os.link, os.symlink, shutil.copyfile):
        try:
            make(file, target)
            return
        except OSError:
            if make is shutil.copyfile:
                raise
