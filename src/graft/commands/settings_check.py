"""Everything wrong in a settings file, without loading a model or data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from graft.commands.workflow_file import Workflow, read_workflow
from graft.config import FinetuneSettings, Settings, SourceSettings, build, option_names
from graft.data.named_files import near
from graft.errors import InputError, Problem, Problems, did_you_mean, located
from graft.files import expanded
from graft.planning.settings import placed
from graft.planning.unused import check_used
from graft.training.consistency import check_consistent

_PLACE = re.compile(r"\A(.*):(\d+):(\d+)", re.DOTALL)


class Place(NamedTuple):
    """A place in a file: the line and the column, from 1; None where they are not known."""

    file: str
    line: int | None = None
    column: int | None = None


def place_of(problem: Problem) -> Place:
    """Return where a problem is."""
    found = _PLACE.fullmatch(problem.where)
    return Place(found[1], int(found[2]), int(found[3])) if found else Place(problem.where)


def check_workflow(document: Mapping[str, Any], where: str) -> Workflow:
    """Return the workflow of a file in which nothing is wrong.

    Args:
        document: What the file contains.
        where: The file.

    Raises:
        InputError: With everything that is wrong in it.
    """
    return read_workflow(document, where, check=_check)


def check_settings(document: Mapping[str, Any], where: str, classes: Sequence[type[Settings]]) -> None:
    """Check a file with the settings of a command.

    Args:
        document: What the file contains.
        where: The file.
        classes: The settings that the command takes.

    Raises:
        InputError: With everything that is wrong in it.
    """
    problems, known = Problems(), {name for cls in classes for name in option_names(cls)}
    for name in document:
        if name.replace("-", "_") not in known:
            what, near_by = f"unknown setting {name}", did_you_mean(name.replace("-", "_"), known)
            problems.add(what, located(where, name), near_by)
    for cls in classes:
        own = {name: value for name, value in document.items() if name.replace("-", "_") in option_names(cls)}
        with problems.collecting():
            build(cls, own, where, lambda settings: placed(check_files, settings, own, where))  # noqa: B023
    problems.raise_if_any()


def _check(settings: FinetuneSettings) -> None:
    problems = Problems()
    for check in (check_consistent, check_used, check_files):
        with problems.collecting():
            check(settings)
    problems.raise_if_any()


def check_files(settings: Settings) -> None:
    """Check that the data files are there that settings name.

    Raises:
        InputError: Naming each that is not.
    """
    problems = Problems()
    for option in ("data_files", "eval_data_files"):
        for name in _paths(getattr(settings, option, None)):
            path = expanded(name)
            if not path.exists():
                problems.add(f"--{option} {name}: no such file", remedy=near(path))
    if isinstance(settings, SourceSettings):
        data = settings.data_name
        if data is not None and _is_path(data) and not expanded(data).exists():
            problems.add(f"--data_name {data}: no such file or folder", remedy=near(expanded(data)))
    problems.raise_if_any()


def _paths(given: object) -> Iterator[str]:
    """The paths that are no patterns and no addresses."""
    for name in given if isinstance(given, (list, tuple)) else ():
        if not any(sign in str(name) for sign in "*?[") and "://" not in str(name):
            yield str(name)


def _is_path(name: str) -> bool:
    """Whether a name is a path and no name of the Hub, which has at most one slash."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or bool(Path(name).suffix)


def sorted_problems(error: InputError) -> list[Problem]:
    """Return problems in the order in which they are in the file; those without a place come last."""

    def key(problem: Problem) -> tuple[bool, int, int]:
        place = place_of(problem)
        return place.line is None, place.line or 0, place.column or 0

    return sorted(dict.fromkeys(error.problems), key=key)
