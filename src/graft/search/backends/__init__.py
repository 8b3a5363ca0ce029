"""Where trials run besides this process: processes of this machine, and the machines of a Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.config import StudySettings
from graft.progress import SILENT, Reporter
from graft.search.backends.workers import Task, limited
from graft.search.board import Board
from graft.search.study import Backend

__all__ = ["Backend", "make_backend"]


def make_backend(
    settings: StudySettings,
    make: tuple[str, dict[str, Any]],
    board: Board,
    folder: Path,
    *,
    threads: int,
    reporter: Reporter = SILENT,
    needed_mb: float | None = None,
) -> Backend:
    """Return what runs the trials of a study on several workers.

    Args:
        settings: ``workers`` and ``ray``.
        make: A function, ``module:name``, and what a worker calls it with besides the board: it returns a ``Runner``.
        board: The study's board in ``folder``.
        folder: The study's folder.
        threads: The threads of each trial; the same for all trials of a study, since roundings depend on it.
        reporter: Shows what happens to workers.
        needed_mb: The memory that a worker takes; None: not known.

    Raises:
        MissingExtra: If Ray is asked for and not installed.
        GraftError: If the Ray cluster cannot be reached.
    """
    task = Task(*make, folder=str(folder.resolve()), threads=threads)
    if settings.ray is not None:
        from graft.search.backends.ray_cluster import RayWorkers

        count = settings.workers if "workers" in settings.model_fields_set else None
        return RayWorkers(settings.ray, task, count, board, reporter)
    from graft.search.backends.processes import LocalWorkers

    return LocalWorkers(limited(settings.workers, needed_mb, reporter), task, reporter)
