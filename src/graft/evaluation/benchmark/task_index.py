"""The names of the harness's tasks: some 15,000, of as many files, which are read once for each version."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from graft.evaluation.benchmark.harness import harness_tasks, harness_version, require_harness
from graft.files import write_whole
from graft.models.cache import cache_folder

KINDS = ("task", "group", "tag")


@dataclass(frozen=True)
class IndexedTask:
    """A name that ``--tasks`` takes.

    Attributes:
        name: The name.
        kind: ``task``; ``group``, whose tasks have a score together; or ``tag``, which stands for several tasks.
        file: Its file below the harness's folder of tasks; empty for a tag.
        members: The tasks of a tag.
    """

    name: str
    kind: str
    file: str = ""
    members: tuple[str, ...] = ()


class TaskNames:
    """All names of the harness. The first use of a version takes a quarter of a minute; later ones read a file."""

    def __init__(self) -> None:
        self.folder = harness_tasks()
        self.names = self._kept() or self._read()

    @property
    def _file(self) -> Path:
        return cache_folder() / "benchmarks" / f"lm-eval-tasks-{harness_version()}.json"

    def _kept(self) -> dict[str, IndexedTask]:
        with suppress(OSError, ValueError, TypeError, AttributeError):
            found = json.loads(self._file.read_text(encoding="utf-8"))
            return {name: IndexedTask(name, kind, file, tuple(of)) for name, (kind, file, of) in found.items()}
        return {}

    def _read(self) -> dict[str, IndexedTask]:
        require_harness()
        from lm_eval.tasks._index import Kind, TaskIndex

        kinds = {Kind.TASK: "task", Kind.PY_TASK: "task", Kind.GROUP: "group", Kind.TAG: "tag"}
        found = {}
        for name, entry in TaskIndex.build([self.folder]).items():
            file = entry.yaml_path.relative_to(self.folder).as_posix() if entry.yaml_path else ""
            members = tuple(sorted(entry.tags)) if entry.kind is Kind.TAG else ()
            found[name] = IndexedTask(name, kinds[entry.kind], file, members)
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            plain = {one.name: [one.kind, one.file, one.members] for one in found.values()}
            write_whole(self._file, json.dumps(plain, ensure_ascii=False))
        return found

    def matching(self, pattern: str) -> list[IndexedTask]:
        """Return the names that have ``pattern`` in them, or match it where it has a ``*``, in order."""
        wanted = pattern if "*" in pattern else f"*{pattern}*"
        return [self.names[name] for name in sorted(self.names) if fnmatchcase(name, wanted)]

    def manager(self) -> Any:
        """Return the harness's ``TaskManager`` of these names, without reading all files again."""
        from lm_eval.tasks import TaskManager
        from lm_eval.tasks._index import Entry, Kind

        kinds = {"task": Kind.TASK, "group": Kind.GROUP, "tag": Kind.TAG}
        made = TaskManager(include_defaults=False)
        for one in self.names.values():
            path = self.folder / one.file if one.file else None
            made._index[one.name] = Entry(one.name, kinds[one.kind], path, tags=set(one.members))
        return made
