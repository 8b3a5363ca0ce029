"""Opening what ``evaluate``, ``chat`` and ``show`` are given: a run, a model, an adapter, or a name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from graft.config import HubSettings, ModelSettings
from graft.errors import InputError, Problems
from graft.models.adapter_base import check_base, read_adapter_config
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
    if kind is FolderKind.BUNDLE:
        raise InputError("this is an exported bundle, not a run or a model", where=str(path), remedy=_made_from(path))
    if kind is FolderKind.RUN:
        return _open_run(path, reporter, hub)
    is_adapter = (path / "adapter_config.json").is_file() or run_of_adapter(path) is not None
    if is_adapter and not (path / "config.json").is_file():
        return _open_adapter(path, reporter, hub)
    base = resolve(_named(str(path_or_name), hub), reporter)
    return Opened(base, None, None, base.label, hub=hub)


def open_model_settings(settings: ModelSettings, reporter: Reporter = SILENT) -> Opened:
    """What ``settings`` name: a run, an adapter or a model, or a model with ``adapter_path`` over it.

    Raises:
        InputError: When one of them is missing or not whole, or the adapter was trained on another model.
    """
    named, given = settings.model_name_or_path, settings.adapter_path
    if given is None:
        if named is None:
            raise InputError("no model is given", where="model_name_or_path")
        opened = open_run_or_model(named, reporter, settings)
        _say_untuned(opened.base, reporter)
        return opened
    adapter = find_adapter(given)
    if named is None:
        return open_run_or_model(adapter, reporter, settings)
    problems = Problems()
    base: Base | None = None
    with problems.collecting():
        check_adapter(adapter)
    with problems.collecting():
        base = _base_under(named, reporter, settings)
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
    if (path / "adapter_config.json").is_file() or run_of_adapter(path) is not None:
        return path
    what = "this folder is not an adapter: it has no adapter_config.json" if path.exists() else "no such folder"
    raise InputError(what, where=str(path), remedy="give a run folder or a PEFT adapter folder")


def run_of_adapter(adapter: Path) -> Path | None:
    """The run folder that an ``adapter`` folder belongs to, if any."""
    resolved = adapter.resolve()
    return resolved.parent if resolved.name == "adapter" and is_run(resolved.parent) else None


def _base_under(name: str, reporter: Reporter, settings: ModelSettings) -> Base:
    """The model that an adapter is put over: a run that tuned all weights is one, a run with an adapter is none."""
    opened = open_run_or_model(name, reporter, settings)
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


def _named(name: str, hub: HubSettings, revision: str | None = None) -> ModelSettings:
    """``revision`` is the recorded one."""
    return ModelSettings(
        model_name_or_path=name,
        model_revision=hub.model_revision or revision,
        token=hub.token,
        trust_remote_code=hub.trust_remote_code,
    )


def untuned(opened: Opened, reporter: Reporter = SILENT) -> Base:
    """The model before tuning: of a run that tuned all weights the one its manifest names, else ``opened.base``.

    Raises:
        InputError: when the manifest names none, or it is gone.
    """
    if opened.run is None or opened.adapter is not None:
        return opened.base
    return _named_base(RunFolder.open(opened.run).manifest, opened.run, opened.hub, reporter)


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
            f"this run has no tuned model (its status is {manifest.status!r})",
            where=str(path),
            remedy=f"`{command('graft', 'finetune', '--resume', '--output_path', path)}` continues it; "
            "`--overwrite` starts it again",
        )
    if adapter is not None:
        check_adapter(adapter)
    if is_whole(path / "model"):
        base = open_folder(path / "model", str((path / "model").resolve()), "folder", hub.trust_remote_code)
        if adapter is not None:
            base = _as_recorded(base, manifest.base)
            _check_recorded(base, manifest.base, path, hub)
    elif adapter is not None:  # a link that broke, as when the cache was emptied or the run was moved
        base = _named_base(manifest, path, hub, reporter)
    else:
        base = open_folder(path / "model", str(path / "model"), "folder", hub.trust_remote_code)
    method = manifest.settings.get("method")
    return Opened(base, adapter, path, manifest.task_name or path.resolve().name, method, hub)


def _as_recorded(base: Base, recorded: BaseModelRecord | None) -> Base:
    """Under the name and the license that the run recorded for its base."""
    if recorded is None:
        return base
    return replace(base, name=recorded.name or base.name, license=recorded.license or base.license)


def _check_recorded(base: Base, recorded: BaseModelRecord | None, run: Path, hub: HubSettings) -> None:
    """The weights in a run's ``model`` folder must be those that its adapter was trained on."""
    if recorded is None or recorded.sha256 in (None, base.sha256) or getattr(hub, "allow_base_mismatch", False):
        return
    raise InputError(
        f"the weights in {run / 'model'} are not those that the adapter was trained on: their SHA-256 differs",
        where=str(run),
        remedy=f"copy the base model {recorded.name} there again, or add --allow_base_mismatch",
    )


def _named_base(manifest: RunManifest, run: Path, hub: HubSettings, reporter: Reporter) -> Base:
    recorded = manifest.base
    name = recorded and (recorded.name or recorded.path)
    if recorded is None or not name:
        raise InputError("the manifest names no base model", where=str(run / "manifest.json"))
    base = resolve(_named(name, hub, manifest.settings.get("model_revision")), reporter)
    base = replace(base, new_tokens=read_record(run / "model") or read_record(run / "adapter"))
    if recorded.sha256 not in (None, base.sha256):
        raise InputError(
            f"{name} is not the base model of this run: the SHA-256 of its weights differs",
            where=str(run),
            remedy=f"the run needs weights with the SHA-256 {recorded.sha256}",
        )
    return base


def _open_adapter(path: Path, reporter: Reporter, hub: HubSettings) -> Opened:
    run = run_of_adapter(path)
    if run is not None:
        return _open_run(run, reporter, hub)
    check_adapter(path)
    config = read_adapter_config(path)
    name = config.base_model_name_or_path
    if not name:
        raise InputError(
            "the adapter does not name its base model",
            where=str(path / "adapter_config.json"),
            remedy="set base_model_name_or_path there to the model's folder or name",
        )
    revision = None if Path(name).expanduser().exists() else config.revision
    base = replace(resolve(_named(name, hub, revision), reporter), new_tokens=read_record(path))
    if not getattr(hub, "allow_base_mismatch", False):
        check_base(path, None, base, hub.model_revision)
    return Opened(base, path, None, path.resolve().name, hub=hub)


def check_adapter(path: Path) -> None:
    """Whether a PEFT folder's weights are there and whole; what else an adapter folder may hold is its method's matter.

    Raises:
        InputError: when they aren't.
    """
    problems = Problems()
    if not (path / "adapter_config.json").is_file():
        return
    weights = path / "adapter_model.safetensors"
    if weights.is_file():
        check_file(weights, problems)
    elif not (path / "adapter_model.bin").is_file():
        problems.add("there is no adapter_model.safetensors in this adapter folder", path)
    problems.raise_if_any()
