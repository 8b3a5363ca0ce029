"""``graft search`` as a pass of a workflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graft.commands.model_passes import MODELS, ModelPass
from graft.commands.search_settings import search_class

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

        return search(self._tuning(artifact, context), context.reporter)
