"""``graft search``: trials of other settings over one base, and a run with the best of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graft.commands.failures import as_graft_error
from graft.commands.search_compared import compared_on
from graft.commands.search_folder import SearchFolder
from graft.commands.search_plan import SearchPlan, plan_search
from graft.commands.search_progress import StudyReporter
from graft.commands.search_settings import search_settings
from graft.commands.search_winner import train_winner
from graft.config.search import StudySettings
from graft.errors import GraftError, Interrupted
from graft.events import Events
from graft.interruption import postponed
from graft.progress import SILENT, Reporter, enter
from graft.runs.manifest import read_search
from graft.runs.search_manifest import TrialRecord
from graft.search.board import FileBoard
from graft.search.journal import Journal
from graft.search.space_reading import component_choices
from graft.search.study import Backend, InProcess, Study, best_of

__all__ = ["carry_out", "plan", "search"]


def search(settings: StudySettings | Mapping[str, Any], reporter: Reporter = SILENT) -> Path:
    """Run trials, then train the winner as an ordinary run.

    Args:
        settings: Settings of ``graft search`` by name.
        reporter: Shows the progress.

    Returns:
        The search folder; the winner's run is in ``best``.

    Raises:
        InputError: When the settings, the space, the data or the model are invalid; nothing is written.
        Interrupted: After Ctrl-C, SIGTERM or SIGHUP; ``resume=True`` continues the search.
        GraftError: When no trial was completed, or the winner's training failed.
    """
    reporter = Events.of(reporter)
    return carry_out(plan(settings, reporter), reporter)


def plan(settings: StudySettings | Mapping[str, Any], reporter: Reporter = SILENT) -> SearchPlan:
    """Decide everything about a search and write nothing: what ``--dry_run`` prints.

    Raises:
        InputError: With everything that is wrong with the settings, the space, the data and the model.
    """
    enter(reporter, "reading")
    return plan_search(settings if isinstance(settings, StudySettings) else search_settings(settings), reporter)


def carry_out(plan: SearchPlan, reporter: Reporter = SILENT) -> Path:
    """Run the trials that are left, and train the winner; returns the search folder.

    Raises:
        Interrupted: After Ctrl-C, SIGTERM or SIGHUP.
        GraftError: As ``search``.
    """
    from graft.training.memory import free_memory

    folder = SearchFolder.create(plan)
    events = Events.of(reporter)
    with folder.lock(), events.into(folder.path), _recorded_end(folder, plan), contextlib.ExitStack() as stack:
        folder.record_start(plan)
        threads = _threads(folder, plan)
        stack.enter_context(_threads_of_torch(threads))
        study = study_of(plan, Journal(folder.path))
        progress = StudyReporter(events, plan.num_trials, plan.greater_is_better)
        backend = _backend(plan, folder.path, threads, progress)
        try:
            records = _trials(study, backend, folder, progress)
        finally:
            backend.close()
        winner = best_of(records, plan.greater_is_better)
        if winner is None:
            raise _nothing_completed(records)
        plan.trials.forget()
        free_memory()
        train_winner(plan, folder, winner, events)
    return folder.path


def study_of(plan: SearchPlan, journal: Journal) -> Study:
    """Return the study of a plan."""
    return Study(
        space=plan.searched.space,
        strategy=plan.searched.strategy,
        num_trials=plan.num_trials,
        seed=plan.searched.study.seed,
        greater_is_better=plan.greater_is_better,
        defaults=plan.defaults,
        effective=plan.effective,
        journal=journal,
    )


def _trials(study: Study, backend: Backend, folder: SearchFolder, progress: StudyReporter) -> list[TrialRecord]:
    progress.begin(study.journal.read())

    def ended(record: TrialRecord) -> None:
        progress.ended(record)
        folder.write_pages()

    return study.run(backend, ended)


def _backend(plan: SearchPlan, folder: Path, threads: int, progress: StudyReporter) -> Backend:
    """This process, or the workers that were asked for."""
    from graft.commands.search_trials import TrialRunner

    board, study, compared = FileBoard(folder), plan.searched.study, compared_on(plan.first)
    if study.workers > 1 or study.ray is not None:
        from graft.search.backends import make_backend

        choices = component_choices(study.search_space)
        given = {"shared": plan.shared, "choices": choices, "prune": study.prune, "compared": compared}
        make = ("graft.commands.search_trials:make_runner", given)
        return make_backend(study, make, board, folder, threads=threads, reporter=progress, needed_mb=_needed_mb(plan))
    runner = TrialRunner(plan.searched.cls, plan.shared, board, study.prune, progress, plan.trials, compared)
    return InProcess(progress.numbered(runner))


def _needed_mb(plan: SearchPlan) -> float:
    """The memory of a worker, as the first trial's is estimated."""
    from graft.planning.estimate import estimate

    return float(estimate(plan.first).memory_mb)


def _threads(folder: SearchFolder, plan: SearchPlan) -> int:
    """The threads of each trial, recorded: a search that is resumed with another number of workers keeps them."""
    from graft.search.backends.workers import trial_threads

    threads = read_search(folder.path).threads or trial_threads(plan.searched.study.workers)
    folder.update(threads=threads)
    return threads


@contextlib.contextmanager
def _threads_of_torch(threads: int) -> Iterator[None]:
    """Let this process, which trains the winner, use as many threads as its trial, so that both are bit-equal."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _nothing_completed(records: list[TrialRecord]) -> GraftError:
    errors = dict.fromkeys(record.error for record in records if record.error)
    named = "; ".join(str(error) for error in list(errors)[:3])
    return GraftError(f"none of {len(records)} trials was completed: {named}", remedy="change the search space")


@contextlib.contextmanager
def _recorded_end(folder: SearchFolder, plan: SearchPlan) -> Iterator[None]:
    """Record how the search ends; ``finished`` comes last, when everything is there."""
    started = time.perf_counter()
    before = folder.seconds_before()

    def end(status: str, error: str | None = None) -> None:
        folder.record_end(status, error, before + time.perf_counter() - started)

    try:
        yield
        end("finished")
    except (KeyboardInterrupt, Interrupted) as error:
        with postponed(), contextlib.suppress(GraftError):
            end("interrupted")
        raise Interrupted(f"interrupted; {plan.output} can be resumed", remedy=plan.resume_line(error)) from None
    except Exception as error:
        failure = as_graft_error(error)
        with contextlib.suppress(Exception):
            end("failed", str(failure))
        raise failure from error
