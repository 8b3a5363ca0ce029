"""Opening what ``evaluate``, ``chat`` and ``show`` are given: a run, a model, an adapter, or a name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from graft.config import HubSettings, ModelSettings
from graft.errors import GraftError, InputError, Problems
from graft.models.adapter_base import check_base
from graft.models.adapter_config import CONFIG, WEIGHTS, check_adapter_config
from graft.models.find_base import (
    BaseMissing,
    allows_mismatch,
    base_of_adapter,
    base_of_run,
    given_base,
    named,
    run_of_checkpoint,
)
from graft.models.folder import Base, is_whole, open_folder
from graft.models.new_tokens import read_record
from graft.models.resolve import resolve
from graft.models.weights import check_file
from graft.progress import SILENT, Reporter
from graft.runs.folder import RunFolder
from graft.runs.kind import FolderKind, folder_kind, is_run
from graft.runs.manifest import BaseModelRecord, BundleManifest, RunManifest, read_manifest
from graft.runs.paths import shown_path
from graft.shell import command

NO_HUB = HubSettings()


@dataclass(frozen=True)
class Opened:
    """A model to use: ``base`` with ``adapter`` over it. Of a run that tuned all weights, ``base`` is the tuned one.

    ``hub`` is how it was got; its token is shown nowhere.
    """

    base: Base
    adapter: Path | None
    run: Path | None
    name: str
    method: str | None = None
    """The method that tuned it, as its run names it; None of what is no run."""
    hub: HubSettings = field(default=NO_HUB, repr=False, compare=False)


def open_run_or_model(path_or_name: str | Path, reporter: Reporter = SILENT, hub: HubSettings = NO_HUB) -> Opened:
    """What ``path_or_name`` means: a run folder, a PEFT adapter folder, or whatever ``resolve`` takes.

    ``hub`` says how a model is got from the hub; of a run or an adapter, its base.

    Raises:
        InputError: when it is none of them, or not whole, or a revision is asked for of what is not from the hub.
    """
    path = Path(path_or_name).expanduser()
    kind = folder_kind(path)
    if kind is FolderKind.BUNDLE and not is_whole(path):  # one of --format hf is a model folder
        raise InputError("this is an exported bundle, not a run or a model", where=str(path), remedy=_made_from(path))
    if kind is FolderKind.RUN:
        return _open_run(path, reporter, hub)
    is_adapter = (path / CONFIG).is_file() or run_of_adapter(path) is not None
    if is_adapter and not (path / "config.json").is_file():
        return _open_adapter(path, reporter, hub)
    if given_base(hub) is not None:
        what = f"--base {given_base(hub)} is the base of a run or an adapter, and this is a model"
        raise InputError(what, where=str(path_or_name), remedy="omit it")
    base = resolve(named(str(path_or_name), hub), reporter)
    return Opened(base, None, None, base.label, hub=hub)


def open_model_settings(settings: ModelSettings, reporter: Reporter = SILENT) -> Opened:
    """What ``settings`` name: a run, an adapter or a model, or a model with ``adapter_path`` over it.

    Raises:
        InputError: When one of them is missing or not whole, or the adapter was trained on another model.
    """
    name, given = settings.model_name_or_path, settings.adapter_path
    if given is None:
        if name is None:
            raise InputError("no model is given", where="model_name_or_path")
        opened = open_run_or_model(name, reporter, settings)
        _say_untuned(opened.base, reporter)
        return opened
    adapter = find_adapter(given)
    if name is None:
        return open_run_or_model(adapter, reporter, settings)
    if given_base(settings) not in (None, name):
        what = f"--base {given_base(settings)} and the model {name} are both given as the base of the adapter"
        raise InputError(what, where=str(given), remedy="omit one of them")
    problems = Problems()
    base: Base | None = None
    with problems.collecting():
        check_adapter(adapter)
    with problems.collecting():
        base = _base_under(name, reporter, settings)
    problems.raise_if_any()
    assert base is not None
    run = run_of_adapter(adapter)
    if not settings.allow_base_mismatch:
        check_base(adapter, run, base, settings.model_revision)
    base = replace(base, new_tokens=read_record(adapter) or base.new_tokens)
    method = RunFolder.open(run).manifest.settings.get("method") if run is not None else None
    return Opened(base, adapter, run, (run or adapter.resolve()).name, method, settings)


def find_adapter(path: Path) -> Path:
    """The adapter folder at ``path``, which may be the run folder that it is in.

    Raises:
        InputError: When there is none.
    """
    path = path.expanduser()
    if is_run(path):
        if not any((path / "adapter").glob("*")):
            what = "this run has no adapter"
            raise InputError(what, where=str(path), remedy=f"a run that trained all weights is a model: {path}")
        return path / "adapter"
    if (path / CONFIG).is_file() or run_of_adapter(path) is not None:
        return path
    what = f"this folder is not an adapter: it has no {CONFIG}" if path.exists() else "no such folder"
    raise InputError(what, where=str(path), remedy="give a run folder or a PEFT adapter folder")


def run_of_adapter(adapter: Path) -> Path | None:
    """The run folder that an ``adapter`` folder belongs to, if any."""
    resolved = adapter.resolve()
    return resolved.parent if resolved.name == "adapter" and is_run(resolved.parent) else None


def _base_under(name: str, reporter: Reporter, settings: ModelSettings) -> Base:
    """The model that an adapter is put over: a run that tuned all weights is one, a run with an adapter is none."""
    alone = settings.model_copy(update={"base_model_name_or_path": None})
    opened = open_run_or_model(name, reporter, alone)
    if opened.adapter is not None:
        raise InputError(
            "this already has an adapter, so --adapter_path cannot put another over it",
            where=name,
            remedy="give the base model, or omit --adapter_path",
        )
    return opened.base


def _say_untuned(base: Base, reporter: Reporter) -> None:
    """A run's ``model`` folder looks like what the run made, and is its base."""
    run = base.path.resolve().parent
    is_folder = base.kind == "folder" and base.name == str(base.path.resolve()) and base.path.name == "model"
    if is_folder and is_run(run) and any((run / "adapter").glob("*")):
        reporter.note(f"{base.path} is the untuned base of a run; what the run learned is in {run.name}/adapter")


def _made_from(bundle: Path) -> str:
    manifest = read_manifest(bundle)
    run = manifest.run if isinstance(manifest, BundleManifest) else None
    return (
        f"give the run that it was exported from, {shown_path(run, bundle)}"
        if run
        else "give the run or the model that it was exported from"
    )


def untuned(opened: Opened, reporter: Reporter = SILENT) -> Base:
    """The model before tuning: of a run that tuned all weights the one its manifest names, else ``opened.base``.

    Raises:
        BaseMissing: when the manifest names none, or it is gone, and ``--base`` names none.
        InputError: when what ``--base`` names is another model.
    """
    if opened.run is None or opened.adapter is not None:
        return opened.base
    return base_of_run(opened.run, RunFolder.open(opened.run).manifest, opened.hub, reporter)


def untuned_if_here(opened: Opened, reporter: Reporter) -> Base | None:
    """As ``untuned``; of a base that is gone, it notes which one it was, and returns None.

    Raises:
        InputError: when what ``--base`` names is another model.
    """
    try:
        return untuned(opened, reporter)
    except BaseMissing as error:
        said = error.problems[0]
        reporter.note(f"without its base: {said.what} ({said.remedy})")
        return None


def _open_run(path: Path, reporter: Reporter, hub: HubSettings) -> Opened:
    manifest = RunFolder.open(path).manifest
    if hub.model_revision:
        what = (
            f"this is a run: its manifest records its base model, so it cannot use the revision {hub.model_revision!r}"
        )
        raise InputError(what, where=str(path), remedy="omit --model_revision")
    adapter = path / "adapter" if any((path / "adapter").glob("*")) else None
    if adapter is None and not (path / "model" / "config.json").is_file():
        raise InputError(
            f"this run has no tuned model (its status is {RunFolder(path).status!r})",
            where=str(path),
            remedy=f"`{command('graft', 'finetune', '--resume', '--output_path', path)}` continues it; "
            "`--overwrite` starts it again",
        )
    if adapter is not None:
        check_adapter(adapter)
        base = _base_in(path, manifest, reporter, hub)
    else:
        base = open_folder(path / "model", str((path / "model").resolve()), "folder", hub.trust_remote_code)
    method = manifest.settings.get("method")
    return Opened(base, adapter, path, manifest.task_name or path.resolve().name, method, hub)


def _base_in(run: Path, manifest: RunManifest, reporter: Reporter, hub: HubSettings) -> Base:
    """The base of a run with an adapter: ``--base``, or its ``model`` folder unless a link in it broke."""
    folder = run / "model"
    if given_base(hub) is not None or not is_whole(folder):  # as when a cache was emptied or the run was moved
        return base_of_run(run, manifest, hub, reporter)
    base = open_folder(folder, str(folder.resolve()), "folder", hub.trust_remote_code)
    base = _as_recorded(base, manifest.base)
    _check_recorded(base, manifest.base, run, hub)
    return base


def _as_recorded(base: Base, recorded: BaseModelRecord | None) -> Base:
    """Under the name and the license that the run recorded for its base."""
    if recorded is None:
        return base
    return replace(base, name=recorded.name or base.name, license=recorded.license or base.license)


def _check_recorded(base: Base, recorded: BaseModelRecord | None, run: Path, hub: HubSettings) -> None:
    """The weights in a run's ``model`` folder must be those that its adapter was trained on."""
    if recorded is None or recorded.sha256 in (None, base.sha256) or allows_mismatch(hub):
        return
    raise InputError(
        f"the weights in {run / 'model'} are not those that the adapter was trained on: their SHA-256 differs",
        where=str(run),
        remedy=f"copy the base model {recorded.name} there again, name its place with --base, or add "
        "--allow_base_mismatch",
    )


def _open_adapter(path: Path, reporter: Reporter, hub: HubSettings) -> Opened:
    run = run_of_adapter(path)
    if run is not None:
        return _open_run(run, reporter, hub)
    check_adapter(path)
    return Opened(_base_under_adapter(path, reporter, hub), path, None, path.resolve().name, hub=hub)


def _base_under_adapter(path: Path, reporter: Reporter, hub: HubSettings) -> Base:
    """The model under an adapter; of a checkpoint, where it names none that is here, the base of its run."""
    try:
        return base_of_adapter(path, hub, reporter)
    except GraftError:
        run = run_of_checkpoint(path)
        if run is None or given_base(hub) is not None:
            raise
        return _base_in(run, RunFolder.open(run).manifest, reporter, hub)


def check_adapter(path: Path) -> None:
    """Whether a PEFT folder's weights are there and whole, and its configuration is one that PEFT can build.

    What else an adapter folder may hold is its method's matter.

    Raises:
        InputError: when they aren't.
    """
    problems, tensors = Problems(), None
    if not (path / CONFIG).exists():
        return
    weights = next((path / name for name in (WEIGHTS, "adapter_model.bin") if (path / name).exists()), None)
    if weights is None:
        problems.add(f"there is no {WEIGHTS} in this adapter folder", path, "copy or download the adapter again")
    else:
        tensors = check_file(weights, problems)
    if not problems:
        with problems.collecting():
            check_adapter_config(path, tensors or {})
    problems.raise_if_any()
