"""Passes of a workflow that prepare data: ``graft prepare``, and each of its steps by its name."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from graft.config import Component, PrepareSettings, Settings, SourceSettings, compose
from graft.data.steps import STEPS
from graft.errors import InputError
from graft.runs.kind import FolderKind, folder_kind

if TYPE_CHECKING:
    from graft.commands.passes import Context

PREPARE = "prepare"
COMMON = frozenset((*SourceSettings.model_fields, "seed", "token", "trust_remote_code", "overwrite"))
"""Settings of a workflow that hold for its data passes, too."""
_ELSEWHERE = ("data_files", "data_config_name", "train_split", "eval_split", "eval_data_files")


def is_data(type_name: str) -> bool:
    """Return whether ``type`` names ``graft prepare``, or one of its steps."""
    return type_name.lower() in {PREPARE, *STEPS.names()}


@lru_cache
def data_pass(name: str) -> type[PreparePass]:
    """Return the pass of a step, or of ``prepare`` with the options of all of them.

    Raises:
        InputError: If a step cannot be loaded.
    """
    if name == PREPARE:
        from graft.commands.prepare import settings_class

        return type("Prepare", (PreparePass,), {"Config": settings_class()})
    config = STEPS.get(name).Config
    own = [] if config is Settings else [Component("steps", name, config)]
    return type(f"Step_{name}", (PreparePass,), {"Config": compose(PrepareSettings, own), "only": name})


class PreparePass:
    """``graft prepare``: leaves a prepared data set."""

    Config: ClassVar[type[Settings]] = PrepareSettings
    needs: ClassVar[tuple[tuple[str, str], ...]] = ()
    takes: ClassVar[tuple[str, ...]] = ("nothing", "data", "run", "model", "bundle", "search", "something")
    instead: ClassVar[tuple[str, ...]] = ()
    leaves: ClassVar[str] = "data"
    resumes: ClassVar[bool] = False
    reads_all: ClassVar[bool] = False
    only: ClassVar[str] = ""
    """The one step that runs; empty for those that ``graft prepare`` runs."""

    def __init__(self, settings: PrepareSettings) -> None:
        self.settings = settings

    def run(self, artifact: Path | None, context: Context) -> Path:
        """Prepare what an earlier pass left, if it is data, else that of the settings.

        Raises:
            InputError: If there is no data.
        """
        from graft.commands.prepare import prepare_data

        update: dict[str, Any] = {"output_path": context.output, **data_of(artifact)}
        if self.only:
            others = [name for name, step in STEPS.items() if step.safe and name != self.only]
            update |= {"steps": (self.only,), "skip_steps": tuple(others)}
        settings = self.settings.model_copy(update=update)
        if settings.data_name is None and settings.data_files is None and not getattr(settings, "generate", None):
            remedy = "add data_configs or data_files to the workflow"
            raise InputError("there is no data to prepare", where=self.only or PREPARE, remedy=remedy)
        return prepare_data(settings, context.reporter).output


def data_of(artifact: Path | None) -> dict[str, Any]:
    """Return the settings that read what a pass left, if it is a prepared data set; none otherwise."""
    if artifact is None or folder_kind(artifact) is not FolderKind.DATA:
        return {}
    return {**dict.fromkeys(_ELSEWHERE), "data_name": str(artifact)}
