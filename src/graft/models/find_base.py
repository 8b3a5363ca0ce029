"""The model under an adapter, or before tuning: as it was recorded, wherever it is now, or as ``--base`` names it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from graft.config import HubSettings, ModelSettings
from graft.errors import GraftError, InputError
from graft.files import expanded
from graft.models.adapter_base import base_folder, check_base, is_relative, read_base_record
from graft.models.adapter_config import CONFIG, AdapterConfig, read_adapter_config
from graft.models.embedded import EMBEDDED
from graft.models.folder import Base
from graft.models.new_tokens import read_record
from graft.models.resolve import resolve
from graft.progress import Reporter
from graft.runs.kind import is_run
from graft.runs.manifest import BaseModelRecord, RunManifest


class BaseMissing(InputError):
    """The base of a run or an adapter is not where it was recorded, or another model is there."""


def given_base(hub: HubSettings) -> str | None:
    """What ``--base`` names."""
    return hub.base_model_name_or_path if isinstance(hub, ModelSettings) else None


def allows_mismatch(hub: HubSettings) -> bool:
    """Whether ``--allow_base_mismatch`` is set."""
    return isinstance(hub, ModelSettings) and hub.allow_base_mismatch


def named(name: str, hub: HubSettings, revision: str | None = None) -> ModelSettings:
    """Settings that open the model ``name``; ``revision`` is the recorded one."""
    return ModelSettings(
        model_name_or_path=name,
        model_revision=hub.model_revision or revision,
        token=hub.token,
        trust_remote_code=hub.trust_remote_code,
    )


def base_of_run(run: Path, manifest: RunManifest, hub: HubSettings, reporter: Reporter) -> Base:
    """The model that a run started from: ``--base``, or what the manifest names.

    Raises:
        InputError: When ``--base`` is not a model, or not this one.
        BaseMissing: When none is given, and the recorded one is gone.
    """
    recorded, given = manifest.base, given_base(hub)
    if given is not None:
        base = resolve(named(given, hub), reporter)
        if recorded is not None and not allows_mismatch(hub):
            _check(base, recorded, run, f"--base {given}")
        name = recorded.name if recorded is not None and recorded.sha256 == base.sha256 else base.name
        base = replace(base, name=name)
    else:
        base = _recorded(run, manifest, hub, reporter)
    return replace(base, new_tokens=read_record(run / "model") or read_record(run / "adapter"))


def _recorded(run: Path, manifest: RunManifest, hub: HubSettings, reporter: Reporter) -> Base:
    recorded = manifest.base
    if recorded is None or not (recorded.name or recorded.path):
        raise BaseMissing(
            "the manifest names no base model", where=str(run / "manifest.json"), remedy="name it: --base PATH"
        )
    error: GraftError | None = None
    for name, revision in _places(run, recorded, manifest.settings.get("model_revision")):
        try:
            base = resolve(named(name, hub, revision), reporter)
            _check(base, recorded, run, name)
            return base
        except GraftError as failure:
            error = error or failure
    raise BaseMissing(*_gone("run", run, recorded, error).problems) from error


def _places(run: Path, recorded: BaseModelRecord, revision: str | None) -> Iterator[tuple[str, str | None]]:
    """Where the base may be: at its place beside the run, and by its name."""
    beside = run / recorded.path if recorded.path else None
    if beside is not None and (beside.is_dir() or beside.suffix.lower() == ".gguf") and beside.exists():
        yield str(beside.resolve()), None
    if recorded.name:
        yield recorded.name, revision


def _check(base: Base, recorded: BaseModelRecord, run: Path, name: str) -> None:
    if recorded.sha256 not in (None, base.sha256):
        raise InputError(
            f"{name} is not the base model of this run: the SHA-256 of its weights differs",
            where=str(run),
            remedy=f"the run needs weights with the SHA-256 {recorded.sha256}, those of {recorded.name}",
        )


def _gone(what: str, where: Path, recorded: BaseModelRecord, error: GraftError | None) -> InputError:
    """Say which model is needed: nobody remembers what a path on another machine held."""
    reason = f": {error.problems[0].what}" if error is not None else ""
    sha256 = f" (SHA-256 {recorded.sha256})" if recorded.sha256 else ""
    return InputError(
        f"the base model of this {what} is missing{reason}",
        where=str(where),
        remedy=f"its base is {recorded.name}{sha256}; if you have it elsewhere, name its place: --base PATH",
    )


def base_of_adapter(adapter: Path, hub: HubSettings, reporter: Reporter) -> Base:
    """The model under an adapter folder that is no run's: ``--base``, or what the folder names.

    Raises:
        InputError: When ``--base`` is not a model, or nothing that is recorded fits it.
        BaseMissing: When none is given, and the recorded one is gone.
    """
    given = given_base(hub)
    base = resolve(named(given, hub), reporter) if given is not None else _named_by(adapter, hub, reporter)
    base = replace(base, new_tokens=read_record(adapter))
    if not allows_mismatch(hub):
        check_base(adapter, None, base, hub.model_revision)
    return base


def run_of_checkpoint(adapter: Path) -> Path | None:
    """The run whose checkpoint an adapter folder is, if any."""
    place = adapter.resolve().parent
    return place.parent if place.name == "checkpoints" and is_run(place.parent) else None


def _named_by(adapter: Path, hub: HubSettings, reporter: Reporter) -> Base:
    """The model that an adapter folder names, by its configuration or beside it."""
    config, record = read_adapter_config(adapter), read_base_record(adapter)
    name = config.base_model_name_or_path
    if not name and record is None:
        raise InputError(
            "the adapter does not name its base model",
            where=str(adapter / CONFIG),
            remedy="give it with --base PATH, or set base_model_name_or_path there to the model's folder or name",
        )
    error: GraftError | None = None
    for place, revision in _named_places(adapter, config, name or ""):
        try:
            return resolve(named(place, hub, revision), reporter)
        except GraftError as failure:
            error = error or failure
    if record is None and error is not None:
        raise error
    if record is None:
        needed = BaseModelRecord(name=name or "")
    else:
        needed = BaseModelRecord(name=record.hub_id or record.name or name or "", sha256=record.sha256)
    raise BaseMissing(*_gone("adapter", adapter, needed, error).problems) from error


def _named_places(adapter: Path, config: AdapterConfig, name: str) -> Iterator[tuple[str, str | None]]:
    folder = base_folder(adapter, name)
    if folder is not None:
        yield str(folder), None
    elif name and not is_relative(name):
        yield name, None if expanded(name).exists() else config.revision
    record = read_base_record(adapter)
    if record is None:
        return
    other = record.hub_id or (record.name if record.name in EMBEDDED else None)
    if other not in (None, name):
        yield str(other), record.revision
    if record.path is not None and Path(record.path).exists():  # a copy of the adapter alone, where it was trained
        yield record.path, None
