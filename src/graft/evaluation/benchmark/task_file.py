"""A task of the user's own: the harness's YAML, with data files beside it and without code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from graft.documents import shown
from graft.errors import InputError, Problems, did_you_mean, refusing

SUFFIXES = (".yaml", ".yml")
LOCAL = ("json", "csv", "parquet", "text", "arrow")
"""Kinds of data files, as ``dataset_path`` names them."""


class _Marks(yaml.SafeLoader):
    """Reads a task file with its references to code as ``_Code``."""


class _Code(str):
    """The text after ``!function``."""


_Marks.add_constructor("!function", lambda loader, node: _Code(node.value))


def read_task(path: Path, trusted: bool) -> dict[str, Any]:
    """Read a task file with what it includes; data files are made absolute.

    Args:
        path: The YAML file.
        trusted: Whether the Python code that it names may run.

    Returns:
        The task as the harness takes it.

    Raises:
        InputError: If it is no task, names code that is not trusted, or a data file is not there; all at once.
    """
    from lm_eval.tasks._yaml_loader import load_yaml

    problems = Problems()
    _check_code(path, trusted, problems, set())
    problems.raise_if_any()
    with refusing("this task cannot be read", path, "see how the harness's tasks are written: graft benchmark --list"):
        found: dict[str, Any] = load_yaml(path, resolve_func=trusted)
    if not isinstance(found.get("task"), (str, list)) and not isinstance(found.get("group"), str):
        raise InputError("this is no task: it has no 'task' with its name", where=str(path), remedy="task: my_task")
    for part in task_parts(found):
        _resolve(part, path.parent, problems, path)
        _check_names(part, problems, path)
        _check_splits(part, problems, path)
    problems.raise_if_any()
    return found


def _check_code(path: Path, trusted: bool, problems: Problems, seen: set[Path]) -> None:
    """Refuse code in a task file and in those that it includes, before any of it is imported."""
    path = path.expanduser().resolve()
    if path in seen:
        return
    seen.add(path)
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Marks)
    except OSError as error:
        problems.add(f"this file cannot be read: {error.strerror}", path)
        return
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        problems.add(f"this is not YAML: {' '.join(str(error).split())}", path)
        return
    if not isinstance(document, dict):
        problems.add("this is no task: the file has no keys", path)
        return
    if not trusted:
        for key, code in _code(document):
            remedy = "read that code, and add --trust_remote_code if you trust it"
            problems.add(f"'{key}' names code to run, {shown(code)}", path, remedy)
    listed = document.get("include") or []
    for other in listed if isinstance(listed, list) else [listed]:
        _check_code(path.parent / str(other), trusted, problems, seen)


def _code(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield what in a task runs code, with its key: functions, unsafe tasks, and metrics that are downloaded."""
    if isinstance(value, _Code):
        yield key, str(value)
    elif isinstance(value, Mapping):
        if value.get("unsafe_code"):
            yield "unsafe_code", str(value["unsafe_code"])
        if value.get("hf_evaluate") is True:
            yield "hf_evaluate", str(value.get("metric"))
        if value.get("use_prompt"):
            yield "use_prompt", str(value["use_prompt"])
        for name, each in value.items():
            yield from _code(each, str(name))
    elif isinstance(value, list):
        for each in value:
            yield from _code(each, key)


def task_parts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield a task and those that a group has in it."""
    if isinstance(value, dict):
        yield value
        inside = value.get("task")
        for each in inside if isinstance(inside, list) else ():
            yield from task_parts(each)


def _resolve(task: dict[str, Any], folder: Path, problems: Problems, path: Path) -> None:
    """Make the paths of a task's data absolute: they are relative to its file."""
    kwargs = task.get("dataset_kwargs")
    if isinstance(kwargs, dict) and kwargs.get("data_files"):
        kwargs["data_files"] = _resolved(kwargs["data_files"], folder, problems, path)
    if isinstance(kwargs, dict) and isinstance(kwargs.get("data_dir"), str):
        kwargs["data_dir"] = _file(kwargs["data_dir"], folder, problems, path)
    given = task.get("dataset_path")
    if isinstance(given, str) and given not in LOCAL and (folder / given).exists():
        task["dataset_path"] = str((folder / given).resolve())
    if given in LOCAL and not (isinstance(kwargs, dict) and {"data_files", "data_dir"} & set(kwargs)):
        remedy = "dataset_kwargs: {data_files: {test: rows.jsonl}}"
        problems.add(f"'dataset_path' is {given}, and no data file is named", path, remedy)


def _check_splits(task: Mapping[str, Any], problems: Problems, path: Path) -> None:
    """Refuse splits that no data file is named for."""
    files = (task.get("dataset_kwargs") or {}).get("data_files") if task.get("dataset_path") in LOCAL else None
    there = list(files) if isinstance(files, dict) else ["train"] if files else []
    for key in ("training_split", "validation_split", "test_split", "fewshot_split"):
        split = task.get(key)
        if there and isinstance(split, str) and split.partition("[")[0] not in there:
            problems.add(f"'{key}' is {shown(split)}, and data files are named for: {', '.join(there)}", path)


def _check_names(task: Mapping[str, Any], problems: Problems, path: Path) -> None:
    """Refuse unknown metrics, which the harness would download, and unknown ways to aggregate and to filter."""
    import lm_eval.api.metrics  # noqa: F401  # which registers them
    import lm_eval.filters  # noqa: F401
    from lm_eval.api.registry import aggregation_registry, filter_registry, metric_registry

    own = task.get("process_results") is not None  # its code names its metrics
    for entry in _entries(task.get("metric_list")):
        if not own and isinstance(entry.get("metric"), str) and entry.get("hf_evaluate") is not True:
            _check_name("metric", entry["metric"], list(metric_registry), problems, path)
        if isinstance(entry.get("aggregation"), str):
            _check_name("aggregation", entry["aggregation"], list(aggregation_registry), problems, path)
    for pipeline in _entries(task.get("filter_list")):
        for step in _entries(pipeline.get("filter")):
            if isinstance(step.get("function"), str):
                _check_name("filter", step["function"], list(filter_registry), problems, path)


def _entries(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _check_name(kind: str, name: str, names: list[str], problems: Problems, path: Path) -> None:
    if name not in names:
        near = did_you_mean(name, names) or f"there are: {', '.join(sorted(names))}"
        problems.add(f"the harness has no {kind} {shown(name)}", path, near)


def _resolved(given: Any, folder: Path, problems: Problems, path: Path) -> Any:
    if isinstance(given, dict):
        return {split: _resolved(each, folder, problems, path) for split, each in given.items()}
    if isinstance(given, list):
        return [_resolved(each, folder, problems, path) for each in given]
    return _file(str(given), folder, problems, path)


def _file(given: str, folder: Path, problems: Problems, path: Path) -> str:
    if "://" in given:
        problems.add(f"the data file {shown(given)} is an address", path, "download it, and name the file")
        return given
    found = Path(given).expanduser()
    found = found if found.is_absolute() else folder.resolve() / found
    is_there = any(found.parent.glob(found.name)) if set("*?[") & set(found.name) else found.exists()
    if not is_there:
        problems.add(
            f"there is no data file {shown(given)}", path, f"paths are relative to the task's folder, {folder}"
        )
    return str(found)
