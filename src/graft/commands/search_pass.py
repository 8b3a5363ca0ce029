"""``graft search`` as a pass of a workflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.commands.data_passes import data_of
from graft.commands.model_passes import MODELS, ModelPass, emptied, model_in
from graft.commands.search_settings import search_class
from graft.runs.kind import FolderKind, folder_kind

if TYPE_CHECKING:
    from graft.commands.passes import Context


class SearchPass(ModelPass):
    """``graft search``: leaves a search folder, with the winner's run in ``best``."""

    Config = search_class()
    takes = ("nothing", "data", *MODELS)
    instead = ()
    leaves = "search"
    resumes = True

    def run(self, artifact: Path | None, context: Context) -> Path:
        """Search over the model that an earlier pass left, or with the data that it left."""
        from graft.commands.search import search

        update: dict[str, Any] = {"output_path": context.output, **data_of(artifact)}
        model = model_in(artifact)
        if model is not None and not data_of(artifact):
            update |= {"model_name_or_path": str(model), "model_revision": None}
        if context.resume and folder_kind(context.output) is FolderKind.SEARCH:
            update["resume"] = True
        elif context.resume:  # killed before there was anything to go on from
            emptied(context.output)
        return search(self.settings.model_copy(update=update), context.reporter)
