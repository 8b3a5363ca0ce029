"""Continuing from a run or an adapter: what it was trained with, and what may differ now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graft.config import DataSettings, FinetuneSettings
from graft.data.inferred import InferredSetting
from graft.data.sources import sha256_of
from graft.errors import InputError, Problems
from graft.methods import METHODS
from graft.methods.adapter_folder import is_quantized
from graft.methods.base import Method
from graft.methods.layers import wants_all
from graft.methods.recorded import adapter_options, check_trainable, method_of
from graft.models.base import Base, Opened, is_whole, open_model_settings, untuned
from graft.planning.settings import finetune_settings
from graft.progress import Reporter
from graft.registry import absolute_reference
from graft.runs.folder import RunFolder
from graft.runs.kind import FolderKind, folder_kind
from graft.runs.manifest import RunManifest
from graft.runs.prompt_record import recorded_settings
from graft.runs.settings import recorded_data_settings
from graft.shell import command
from graft.tasks.base import Task
from graft.tasks.encoding import Encoding
from graft.tasks.label_space import LabelSpace
from graft.tasks.load import load_for

NOT_OF_THE_PROMPT = frozenset({"max_length"})
"""Recorded data settings that belong to the rows of the earlier run."""


@dataclass(frozen=True)
class Parent:
    """What a run continues from.

    Attributes:
        opened: The earlier model: a base with an adapter, or a run's tuned weights.
        base: The model before any tuning, which evaluation compares with.
        label_space: The classes of the earlier run's head.
        inferred: What the earlier run decides, for the plan.
    """

    opened: Opened
    base: Base
    label_space: LabelSpace
    inferred: tuple[InferredSetting, ...] = ()

    @property
    def place(self) -> Path:
        """The run folder, or the folder of an adapter that belongs to no run."""
        return self.opened.run or self.opened.adapter or self.opened.base.path

    @property
    def sha256(self) -> str | None:
        """The hash of the adapter's weights, or of the tuned model."""
        adapter = self.opened.adapter
        if adapter is None:
            return self.opened.base.sha256
        names = ("adapter_model.safetensors", "adapter_model.bin")
        files = [adapter / name for name in names if (adapter / name).is_file()] or sorted(
            file for file in adapter.rglob("*") if file.is_file()
        )
        return sha256_of(*files[:1] if files and files[0].name in names else files)

    @property
    def is_tuned(self) -> bool:
        """Whether the earlier model is another than ``base``."""
        return self.opened.adapter is not None or self.opened.base.path != self.base.path


def load_parent(parent: Parent, task: Task, encoding: Encoding, seed: int, trainable: bool = False) -> Any:
    """Load the earlier model as its method does.

    Args:
        parent: The earlier model.
        task: What it does.
        encoding: The tokenizer and the labels.
        seed: Initializes a head that the weights of its base lack.
        trainable: Whether training continues.

    Raises:
        InputError: If it does not load, or the adapter does not fit the model.
    """
    adapter = parent.opened.adapter
    model = load_for(task, encoding, parent.opened.base, seed, to_quantize=is_quantized(adapter))
    return model if adapter is None else method_of(parent.opened).load(model, adapter, trainable)


def continued(settings: FinetuneSettings, reporter: Reporter) -> tuple[FinetuneSettings, Parent | None]:
    """``settings`` completed by the run or the adapter that they continue from, and that; None for a plain model.

    Raises:
        InputError: When what is named cannot be continued, or a given setting contradicts it.
    """
    if not is_tuned(settings):
        return settings, None
    opened = open_model_settings(settings, reporter)
    problems = Problems()
    with problems.collecting():
        _check_output(settings, opened)
    manifest = RunFolder.open(opened.run).manifest if opened.run is not None else None
    _check_new_tokens(settings, opened, problems)
    if opened.adapter is None and _is_another_method(settings, opened):
        problems.raise_if_any()
        return settings, Parent(opened, opened.base, LabelSpace(), (_start(opened),))  # its weights are a new base
    method = method_of(opened)
    if opened.adapter is not None:
        with problems.collecting():
            check_trainable(opened.adapter, method)
    found = _recorded(opened, manifest, method)
    _check_method(settings, found, method, opened, problems)
    problems.raise_if_any()
    whole, said = _completed(settings, found, opened)
    base = opened.base if opened.adapter is not None else _untuned(opened, reporter)
    space = LabelSpace.from_record(manifest.task.label_space) if manifest and manifest.task else LabelSpace()
    return whole, Parent(opened, base, space, (_start(opened), *said))


def is_tuned(settings: FinetuneSettings) -> bool:
    """Whether the settings name a run or an adapter to continue from.

    Raises:
        InputError: If they name a run's ``model`` folder, which lacks what the run learned.
    """
    if settings.adapter_path is not None:
        return True
    path = Path(settings.model_name_or_path or "").expanduser()
    if not settings.model_name_or_path or not path.is_dir():
        return False
    kind = folder_kind(path)
    if kind is FolderKind.MODEL and not settings.resume:
        _refuse_untuned(path)
    if kind is FolderKind.BUNDLE:
        return not is_whole(path)  # one of --format hf is a model folder like any other; opening refuses the rest
    return kind in (FolderKind.RUN, FolderKind.ADAPTER) or _is_run_adapter(path)


def _is_run_adapter(path: Path) -> bool:
    """The adapter folder of a run whose method writes no ``adapter_config.json``."""
    return path.resolve().name == "adapter" and folder_kind(path.resolve().parent) is FolderKind.RUN


def _refuse_untuned(path: Path) -> None:
    run = path.resolve().parent
    if path.resolve().name != "model" or folder_kind(run) is not FolderKind.RUN:
        return
    if any((run / "adapter").glob("*")):
        recorded = RunFolder.open(run).manifest.base
        named = f" To start again from its base, give {recorded.name}" if recorded else ""
        raise InputError(
            "this is the untuned base of a run, without what the run learned",
            where=str(path),
            remedy=f"to continue from the run: {command('graft', 'finetune', path.parent, 'DATA')}.{named}",
        )


def _check_output(settings: FinetuneSettings, opened: Opened) -> None:
    if settings.output_path is None or opened.run is None or settings.output_path.resolve() != opened.run.resolve():
        return
    if settings.resume:
        return
    raise InputError(
        "the output folder is the run to continue from, which has to stay",
        where=str(settings.output_path),
        remedy="choose another --output_path; for more steps on the same rows: "
        + command("graft", "finetune", "--resume", "--output_path", settings.output_path, "--max_steps", "N"),
    )


def _check_new_tokens(settings: FinetuneSettings, opened: Opened, problems: Problems) -> None:
    """The tokens of the earlier run stay as they are: its adapter has a place for these and no others."""
    there = {token.text for token in opened.base.new_tokens}
    for name in ("new_tokens", "new_special_tokens"):
        added = [text for text in getattr(settings, name) or () if text not in there]
        if added:
            what = f"--{name} cannot add {', '.join(map(repr, added))} to the model that training continues from"
            remedy = "start from the base model" if opened.adapter else f"give its model: {opened.base.path}"
            problems.add(what, str(opened.run or opened.adapter), remedy)


def _is_another_method(settings: FinetuneSettings, opened: Opened) -> bool:
    """Whether a run that tuned all weights is the base for another method."""
    if "method" not in settings.model_fields_set:
        return False
    return METHODS.get(settings.method).name != method_of(opened).name


def _untuned(opened: Opened, reporter: Reporter) -> Base:
    """The model before a run tuned all of its weights; where that is gone, the tuned one."""
    try:
        return replace(untuned(opened, reporter), new_tokens=opened.base.new_tokens)
    except InputError as error:
        reporter.note(f"the comparison is with the earlier run only: {error.problems[0].what}")
        return opened.base


def _recorded(opened: Opened, manifest: RunManifest | None, method: Method[Any]) -> dict[str, Any]:
    """The settings that the earlier training decides, by name."""
    found: dict[str, Any] = {"method": opened.method or method.name}
    if manifest is not None:
        settings = manifest.settings
        found |= {name: settings.get(name) for name in method.Config.model_fields}
        found["task"] = settings.get("task") or (manifest.task.name if manifest.task else None)
        found |= _prompt_shape(opened)
    if opened.adapter is not None:
        kept = {name for name, value in found.items() if value is not None}
        found |= {name: v for name, v in adapter_options(opened.adapter, method).items() if name not in kept}
    recorded_settings(method.Config, found)  # a damaged value is said to be one, and not the user's
    return {name: value for name, value in found.items() if value is not None}


def _prompt_shape(opened: Opened) -> dict[str, Any]:
    assert opened.run is not None
    defaults = DataSettings()
    settings = recorded_data_settings(RunFolder.open(opened.run))
    differing = {name: value for name, value in settings.items() if value != getattr(defaults, name)}
    return {name: value for name, value in differing.items() if name not in NOT_OF_THE_PROMPT}


def _check_method(
    settings: FinetuneSettings, found: Mapping[str, Any], method: Method[Any], opened: Opened, problems: Problems
) -> None:
    """A given method, task or option of the method that is not the earlier one."""
    place = str(opened.run or opened.adapter)
    fixed = ["method", *method.Config.model_fields]
    for name in fixed:
        given = getattr(settings, name, None)
        if name not in settings.model_fields_set or given is None:
            continue
        if name == "method" and METHODS.get(settings.method).name == method.name:
            continue
        if not _alike(name, given, found.get(name)):
            shown = _shown(found[name]) if name in found else "not given"
            what = f"--{name} {_shown(given)} differs from the value that training continues from, {shown}"
            problems.add(what, place, _instead(name, opened))


def _instead(name: str, opened: Opened) -> str:
    if name == "method":
        return "omit it, or start from the base model"
    return f"omit it; to train with another {name}, start from the base model, {opened.base.name}"


def _alike(name: str, one: Any, other: Any) -> bool:
    if name == "target_modules" and wants_all(other):
        return wants_all(tuple(one)) or one == other
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return sorted(map(str, one)) == sorted(map(str, other))
    return bool(one == other)


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _completed(
    settings: FinetuneSettings, found: Mapping[str, Any], opened: Opened
) -> tuple[FinetuneSettings, list[InferredSetting]]:
    """The settings with the earlier ones for whatever is not given; what differs is said."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    given = {name: value for name, value in given.items() if value is not None or name not in found}
    name_of = opened.run or opened.adapter
    taken = {name: value for name, value in found.items() if name not in given}
    said = [InferredSetting(name, value, f"taken from {name_of}") for name, value in _said(taken)]
    for name, value in found.items():
        if name in given and name not in taken and not _alike(name, given[name], value):
            why = f"given; {name_of} was trained with {_shown(value)[:100]!r}"
            said.append(InferredSetting(name, given[name], why))
    if given.get("chat_template") is not None:
        said.append(
            InferredSetting("chat_template", _shown(given["chat_template"])[:60], f"given; replaces that of {name_of}")
        )
    if "method" in given:
        given["method"] = absolute_reference(given["method"])
    return finetune_settings({**taken, **given}), said


def _said(taken: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """What is worth a line of the plan: not the defaults."""
    defaults = FinetuneSettings.model_fields
    for name, value in taken.items():
        if name not in defaults or name in ("method", "task") or defaults[name].get_default() != value:
            yield name, value


def _start(opened: Opened) -> InferredSetting:
    weights = "the adapter" if opened.adapter is not None else "the tuned weights"
    return InferredSetting(
        "model_name_or_path", opened.base.name, f"training continues from {weights} of {opened.name}"
    )


def head_of(parent: Parent | None, space: LabelSpace, where: str) -> LabelSpace:
    """The classes of the head that is trained: those of ``parent``, in their order, where it has a head.

    Args:
        parent: What the run continues from.
        space: The classes of the rows.
        where: The rows, for the error.

    Raises:
        InputError: When the rows have a class that the head lacks, or are of another kind.
    """
    if parent is None or not parent.label_space.names:
        return space
    known = parent.label_space
    if (known.problem or space.problem) != (space.problem or known.problem):
        raise InputError(
            f"the rows need a {space.problem} head; that of {parent.place} is {known.problem}", where=where
        )
    new = [name for name in space.names if name not in known.names]
    missing = [name for name in known.names if name not in space.names]
    if new:
        also = f"; it has {', '.join(missing)}, which the rows lack" if missing else ""
        raise InputError(
            f"the head of {parent.place} has no class {', '.join(map(repr, new))}{also}",
            where=where,
            remedy=f"its classes are {', '.join(known.names)}; for others train from the base, {parent.base.name}",
        )
    return known


def missing_classes(parent: Parent | None, labels: Sequence[str] | None) -> list[InferredSetting]:
    """What the plan says when the rows lack classes of the earlier head: they are kept, and not trained further."""
    known = parent.label_space.names if parent is not None else ()
    missing = [name for name in known if name not in (labels or ())]
    why = f"the head keeps them; the rows have no {', '.join(missing)}"
    return [InferredSetting("labels", list(known), why)] if missing and labels else []
