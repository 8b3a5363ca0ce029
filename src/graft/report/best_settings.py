"""``best.yaml``: the workflow file that trains the winner of a search again."""

from __future__ import annotations

from graft.documents import dump_yaml, read_yaml
from graft.report.search_view import SearchView

CONFIG = "config.yaml"
PLACES = ("output_path", "overwrite", "resume")
"""Settings of the winner's own run, which another run must not share."""


def best_yaml(view: SearchView) -> str | None:
    """Return the settings of the winner's run, the searched ones first; None while there is no such run.

    They are those of its ``config.yaml``: without secrets, and paths as they were given.

    Raises:
        InputError: If that file is damaged.
    """
    if view.best is None or not (view.best / CONFIG).is_file():
        return None
    settings = {name: value for name, value in read_yaml(view.best / CONFIG).items() if name not in PLACES}
    searched = {name: settings.pop(name) for name in view.names if name in settings}
    return "".join(
        [
            *_comments(view),
            dump_yaml(searched) if searched else "",
            "# Settings of all trials\n" if settings else "",
            dump_yaml(settings) if settings else "",
        ]
    )


def _comments(view: SearchView) -> list[str]:
    winner, default, metric = view.winner, view.default, view.metric
    if winner is None or winner.value is None:
        return ["# The winner of a search\n"]
    than = "" if default is None or default.value is None else f" (defaults: {metric.figure(default.value)})"
    return [f"# Trial {winner.number} of {len(view.trials)}: {metric.label} {metric.figure(winner.value)}{than}\n"]
