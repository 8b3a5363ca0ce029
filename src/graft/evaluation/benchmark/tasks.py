"""The tasks that a user names, as the harness's objects with their rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jinja2

from graft.documents import shown
from graft.errors import InputError, Problems, did_you_mean, reason_of
from graft.evaluation.benchmark.harness import offline, require_harness
from graft.evaluation.benchmark.task_file import LOCAL, SUFFIXES, read_task, task_parts
from graft.evaluation.benchmark.task_index import TaskNames
from graft.progress import Reporter
from graft.shell import command

ROWS_LOOKED_AT = 100
Spec = str | dict[str, Any]


@dataclass(frozen=True)
class NamedTask:
    """A task before its rows are read.

    Attributes:
        given: What the user typed.
        spec: The harness's name, or the task in a file.
        file: The file, for a task of the user's own.
    """

    given: str
    spec: Spec
    file: Path | None = None

    @property
    def name(self) -> str:
        """The name of the task or of the group."""
        return self.spec if isinstance(self.spec, str) else str(self.spec.get("group") or self.spec["task"])


def find_tasks(given: Sequence[str], trusted: bool) -> tuple[list[NamedTask], Any]:
    """Find tasks by the harness's names, by patterns, and by YAML files.

    Args:
        given: What the user typed.
        trusted: Whether code that a YAML file names may run.

    Returns:
        The tasks, and the harness's manager that loads them.

    Raises:
        MissingExtra: If the harness is not installed.
        InputError: Naming all tasks that do not exist or are not right.
    """
    require_harness()
    problems = Problems()
    files = {name: Path(name).expanduser() for name in given if _is_file(name)}
    own: dict[str, dict[str, Any]] = {}
    for name, path in files.items():
        with problems.collecting():
            own[name] = read_task(path, trusted)
    by_name = set(given) - set(files) or any(map(_names_others, own.values()))
    names = TaskNames() if by_name else None
    found: list[NamedTask] = []
    for name in dict.fromkeys(given):
        if name in files:
            found += [NamedTask(name, own[name], files[name].resolve())] if name in own else []
        elif names is not None and name in names.names:
            found.append(NamedTask(name, name))
        elif names is not None and "*" in name and names.matching(name):
            found += [NamedTask(name, one.name) for one in names.matching(name)]
        elif names is not None:
            near = did_you_mean(name, names.names)
            what = f"the harness has no task {shown(name)}"
            problems.add(what, "--tasks", near or f"{command('graft', 'benchmark', '--list', name)} lists names")
    problems.raise_if_any()
    from lm_eval.tasks import TaskManager

    return found, names.manager() if names is not None else TaskManager(include_defaults=False)


def _names_others(task: dict[str, Any]) -> bool:
    """Whether it is a group with tasks of the harness, by their names."""
    return any(isinstance(each, str) for part in task_parts(task) for each in part["task"] if "group" in part)


def _is_file(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


class LoadedTasks:
    """Tasks with their rows; the rows of local files are kept in a temporary folder until ``close``."""

    def __init__(self, named: Sequence[NamedTask], manager: Any, reporter: Reporter) -> None:
        self._stack = ExitStack()
        cache = self._stack.enter_context(TemporaryDirectory(prefix="graft-benchmark-", ignore_cleanup_errors=True))
        problems = Problems()
        built: list[Any] = []
        for one in named:
            with problems.collecting():
                built.append(_built(one, manager, cache, reporter))
        try:
            problems.raise_if_any()
            flat = [each for made in built for each in (made if isinstance(made, list) else [made])]
            self.loaded: dict[str, Any] = _together(manager, flat)
            for one in named:
                if one.file is not None:
                    _check_targets(one, self.loaded["tasks"], problems)
            problems.raise_if_any()
        except BaseException:
            self.close()
            raise

    @property
    def tasks(self) -> dict[str, Any]:
        """The harness's tasks by name."""
        found: dict[str, Any] = self.loaded["tasks"]
        return found

    def close(self) -> None:
        """Remove the temporary folder."""
        self._stack.close()


def _check_targets(named: NamedTask, tasks: dict[str, Any], problems: Problems) -> None:
    """Refuse a task of the user's own whose targets are none of its choices, so that all answers would be wrong."""
    for name, task in tasks.items():
        own = name == named.name or name.startswith(f"{named.name}::")
        if not own or task.get_config("output_type") != "multiple_choice" or task.multiple_input:
            continue
        rows = list(islice(task.eval_docs, ROWS_LOOKED_AT))
        pairs = [(task.doc_to_target(row), task.doc_to_choice(row)) for row in rows]
        if pairs and not any(_is_choice(target, choices) for target, choices in pairs):
            target, choices = pairs[0]
            what = f"the target of the first row of {name} is {shown(target)}, which is none of the choices"
            listed = ", ".join(map(str, choices[:10]))
            remedy = f"doc_to_target takes a column, a template, or the number of a choice from 0: {listed}"
            problems.add(what, named.file or "", remedy)


def _is_choice(target: Any, choices: Sequence[str]) -> bool:
    if isinstance(target, list):
        return any(_is_choice(each, choices) for each in target)
    return 0 <= target < len(choices) if isinstance(target, int) else target in choices


def _together(manager: Any, built: list[Any]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = manager.load(built)
    except ValueError as error:
        raise InputError(reason_of(error), where="--tasks", remedy="name each task once") from error
    return found


def _built(task: NamedTask, manager: Any, cache: str, reporter: Reporter) -> Any:
    """Load the rows: of the machine without a connection where they are there, else from the Hub."""
    local = task.file is not None and all(_is_local(part) for part in task_parts(task.spec))
    if isinstance(task.spec, dict):
        for part in task_parts(task.spec):
            if _is_local(part):
                part["dataset_kwargs"] = {**(part.get("dataset_kwargs") or {}), "cache_dir": cache}
    try:
        with offline():
            return _loaded(task.spec, manager)
    except Exception as error:
        if local or not _is_absent(error):
            raise _refused(task, error) from error
    reporter.note(f"fetching the rows of {task.given} from the Hugging Face Hub")
    try:
        with offline(False):
            return _loaded(task.spec, manager)
    except Exception as error:
        raise _refused(task, error, _dataset(task, manager)) from error


def _loaded(spec: Spec, manager: Any) -> Any:
    if isinstance(spec, dict) and "group" in spec and isinstance(spec.get("task"), list):
        # ``_load_spec`` would give all that a group says to each of its tasks.
        return manager._factory._build_group(spec["group"], spec, None, manager._index)
    return manager._load_spec(spec)


def _is_local(part: dict[str, Any]) -> bool:
    path = part.get("dataset_path")
    return path in LOCAL or (isinstance(path, str) and Path(path).is_absolute())


def _is_absent(error: Exception) -> bool:
    """Whether the rows are not on this machine."""
    return isinstance(error, (ConnectionError, FileNotFoundError)) or "offline" in str(error).lower()


def _dataset(task: NamedTask, manager: Any) -> tuple[str, str | None] | None:
    """The data set of a task and its configuration, as its file says."""
    document = task.spec
    if isinstance(document, str):
        from lm_eval.tasks._yaml_loader import load_yaml

        entry = manager.task_index.get(document)
        if entry is None or entry.yaml_path is None:
            return None
        document = load_yaml(entry.yaml_path, resolve_func=False)
    path, name = document.get("dataset_path"), document.get("dataset_name")
    return (str(path), None if name is None else str(name)) if path else None


def _refused(task: NamedTask, error: Exception, dataset: tuple[str, str | None] | None = None) -> InputError:
    where = str(task.file or task.given)
    if dataset is None and isinstance(error, StopIteration):
        return InputError("this task has no rows: a data file is empty", where=where)
    if dataset is None and isinstance(error, jinja2.UndefinedError):
        what = f"a template of this task names what its rows do not have: {reason_of(error)}"
        return InputError(what, where=where, remedy="templates take the names of the rows' columns")
    if dataset is None:
        return InputError(f"this task cannot be loaded: {reason_of(error)}", where=where)
    path, name = dataset
    said = f"{path} ({name})" if name else path
    asked = f"{path!r}, {name!r}" if name else f"{path!r}"
    return InputError(
        f"the data set {said} is not on this machine and cannot be fetched: {reason_of(error)}",
        where=where,
        remedy=f'with a connection, this fetches it: python -c "import datasets; datasets.load_dataset({asked})"',
    )
