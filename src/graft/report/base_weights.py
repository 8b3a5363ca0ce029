"""Where the weights under a run's adapter are: in the run, behind links out of it, or gone."""

from __future__ import annotations

import os
from pathlib import Path

from graft.errors import Problems
from graft.models.weights import find_weights
from graft.report.usage import has_adapter
from graft.runs.view import RunView
from graft.shell import command

LINKED, MISSING = "linked-base", "missing-base"


def dependence(view: RunView) -> tuple[str, str, tuple[str, ...]] | None:
    """What a run needs from outside its folder.

    Returns:
        ``LINKED`` or ``MISSING``, what there is to say, and what can be done; None for a run that is whole.
    """
    folder, base = view.path / "model", view.manifest.base if view.manifest else None
    if view.status != "finished" or not has_adapter(view.path) or base is None:
        return None
    problems = Problems()
    find_weights(folder, problems)
    if problems:
        sha256 = f" (SHA-256 {base.sha256})" if base.sha256 else ""
        if any(file.is_file() and not _may_read(file) for file in folder.glob("*")):
            what = f"the weights of its base {base.name}{sha256} are in {folder}, but this user may not read them"
            return (
                MISSING,
                what,
                (f"ask their owner to let the group read them: {command('chmod', '-R', 'g+rX', view.path)}",),
            )
        what = f"the weights of its base {base.name}{sha256} are not in {folder}"
        return MISSING, what, (command("graft", "chat", view.path, "--base", Path("PATH")), f"copy them to {folder}")
    links = [file for file in sorted(folder.iterdir()) if file.is_symlink()]
    outside = [file for file in links if not file.resolve().is_relative_to(view.path.resolve())]
    if not outside:
        return None
    what = f"the weights of its base are links to {outside[0].resolve().parent}, which the run depends on"
    copied = command("cp", "-rL", view.path, Path(f"{view.path}-whole"))
    packed = command("tar", "-chzf", f"{view.path.resolve().name}.tar.gz", view.path)
    return LINKED, what, (f"copy it with its weights: {copied}", f"or pack it with them: {packed}")


def _may_read(file: Path) -> bool:
    return os.access(file, os.R_OK, effective_ids=os.access in os.supports_effective_ids)
