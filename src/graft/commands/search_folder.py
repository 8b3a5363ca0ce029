"""The folder of a search: its manifest, its settings, and what goes on from them."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft._version import __version__
from graft.commands.run_record import base_record, end_of
from graft.commands.search_settings import search_settings
from graft.config import SECRET, recordable
from graft.config.search import StudySettings
from graft.documents import REMEDY, dump_yaml, read_yaml
from graft.errors import GraftError, InputError, Problems
from graft.files import remove, saying_what_failed, write_whole
from graft.hardware.machine import machine
from graft.report.search_page import write_search_pages
from graft.runs.folder import RunFolder, check_folder
from graft.runs.kind import FolderKind, folder_kind
from graft.runs.manifest import MANIFEST, read_search, timestamp, update_manifest
from graft.runs.search_manifest import TRIALS, WINNER, SearchManifest
from graft.runs.trust import check_file
from graft.search.board import RUNGS

if TYPE_CHECKING:
    from graft.commands.search_plan import SearchPlan

CONFIG = "config.yaml"
PARTS = (MANIFEST, CONFIG, TRIALS, RUNGS, WINNER, "events.jsonl", "search.html", "trials.csv", "best.yaml")
MAY_DIFFER = frozenset({"resume", "overwrite", "output_path", "num_trials", "workers", "ray", "token"})
"""Settings that a search may be resumed with in place of those recorded."""


class SearchFolder:
    """The folder of a search."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, plan: SearchPlan) -> SearchFolder:
        """Make the folder of a search.

        Raises:
            InputError: If it holds something else, or a search that is neither replaced nor resumed.
            GraftError: If it cannot be made.
        """
        folder, study = cls(plan.output), plan.searched.study
        check_free(plan.output, study.overwrite, study.resume)
        with saying_what_failed(plan.output):
            plan.output.mkdir(parents=True, exist_ok=True)
        if study.overwrite and not study.resume:
            with folder.lock():
                for name in PARTS:
                    remove(plan.output / name)
        return folder

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            BusyError: If another process holds it.
        """
        with RunFolder(self.path).lock():
            yield

    @property
    def winner(self) -> Path:
        """The folder of the winner's run."""
        return self.path / WINNER

    def update(self, **values: Any) -> None:
        """Write fields of the manifest over those that are there."""
        update_manifest(self.path, SearchManifest, **values)

    def record_start(self, plan: SearchPlan) -> None:
        """Write the settings and the manifest of a search that begins, or goes on."""
        write_whole(self.path / CONFIG, _config(plan))
        first, study = plan.first, plan.searched.study
        sources = {"train": first.data.source, "eval": first.data.eval_source}
        known = read_search(self.path) if (self.path / MANIFEST).is_file() else None
        self.update(
            graft=__version__,
            command="search",
            status="running",
            error=None,
            started=known.started if known is not None and known.started else timestamp(),
            finished=None,
            settings=first.settings.model_dump(mode="json", exclude=SECRET),
            space=plan.searched.space.document(),
            strategy=plan.searched.strategy.name,
            num_trials=plan.num_trials,
            seed=study.seed,
            metric=first.training.metric,
            greater_is_better=plan.greater_is_better,
            selection_rows=len(first.monitored),
            untouched_rows=len(first.untouched),
            base=base_record(RunFolder(self.path), first.base),
            sources={name: asdict(source) for name, source in sources.items() if source is not None},
            machine=machine(),
            versions={name: version(name) for name in ("torch", "transformers", "peft")}
            | {"python": platform.python_version(), "graft": __version__},
        )

    def seconds_before(self) -> float:
        """Return the time that the search took before it was resumed."""
        with suppress(GraftError):
            return read_search(self.path).seconds or 0.0
        return 0.0

    def record_end(self, status: str, error: str | None, seconds: float) -> None:
        """Record how the search ended, and write its pages."""
        self.update(**end_of(status, error), seconds=round(seconds, 3))
        self.write_pages()

    def write_pages(self) -> None:
        """Write what people look at, of what is there."""
        write_search_pages(self.path)


def check_free(path: Path, overwrite: bool, resume: bool) -> None:
    """Check that a search may be written here; nothing is written.

    Raises:
        InputError: If it may not.
    """
    check_folder(path)
    kind = folder_kind(path)
    if resume and kind is not FolderKind.SEARCH:
        raise InputError("there is no search to resume", where=str(path), remedy="omit --resume")
    if kind is FolderKind.SEARCH:
        if not (overwrite or resume):
            raise InputError(
                f"this folder already has a search ({read_search(path).status})",
                where=str(path),
                remedy="pass --overwrite to replace it or --resume to continue it, or choose another --output_path",
            )
    elif kind not in (FolderKind.MISSING, FolderKind.EMPTY):
        what = f"the output folder is {kind.value}"
        raise InputError(what, where=str(path), remedy="choose another --output_path, or empty the folder")


def _config(plan: SearchPlan) -> str:
    """config.yaml: ``graft search --config`` makes the same search again, whatever memory is free then."""
    settings: Any = plan.searched.study
    unwritten: dict[str, Any] = {"resume": True, "overwrite": True, **SECRET}
    given = settings.model_dump(mode="json", exclude=unwritten, exclude_defaults=True)
    decided = {name: value for name, value in plan.shared.items() if name not in plan.searched.shared}
    found = {**given, **decided, "num_trials": plan.num_trials, "seed": settings.seed}
    return dump_yaml(recordable(found), in_order=True)  # that of the searched settings decides the draws


def resumed(given: StudySettings) -> StudySettings:
    """Return the recorded settings of the search in the output folder; ``given`` itself unless it asks to resume.

    Raises:
        InputError: When there is no search to resume, or a given setting differs from the recorded one.
    """
    if not given.resume:
        if given.output_path is not None:
            check_free(given.output_path, given.overwrite, resume=False)
        return given
    path = given.output_path
    assert path is not None
    recorded = recorded_settings(path, given.model_dump(include=given.model_fields_set))
    _refuse_differences(given, recorded, str(path / CONFIG))
    update = {name: getattr(given, name) for name in given.model_fields_set & MAY_DIFFER}
    return recorded.model_copy(update=update)  # type: ignore[no-any-return]


def recorded_settings(path: Path, typed: dict[str, Any]) -> Any:
    """Return the settings of the search in ``path``; code that they name is not run without consent.

    Raises:
        InputError: If there is no search.
    """
    check_free(path, overwrite=False, resume=True)
    config = path / CONFIG
    document, _ = check_file(read_yaml(config, REMEDY), str(config), bool(typed.get("trust_remote_code")), typed)
    return search_settings(document, str(config))


def _refuse_differences(given: StudySettings, recorded: StudySettings, where: str) -> None:
    problems = Problems()
    now, then = given.model_dump(mode="json", exclude=SECRET), recorded.model_dump(mode="json", exclude=SECRET)
    for name in sorted(given.model_fields_set - MAY_DIFFER - {"trust_remote_code"}):
        if name in now and now[name] != then.get(name):
            what = f"--{name} {now[name]} differs from the value in the search to resume, {then.get(name)}"
            problems.add(what, where, "omit it, or start again with --overwrite")
    problems.raise_if_any()
