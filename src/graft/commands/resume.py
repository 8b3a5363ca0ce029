"""``--resume``: the settings with which a run goes on, how far, and whether its inputs are still the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from graft.commands.moved import PLACES, is_gone, new_places
from graft.config import SECRET, FinetuneSettings, interpolated
from graft.data.inferred import InferredSetting
from graft.documents import REMEDY, read_yaml
from graft.errors import InputError, Problems
from graft.planning.fingerprints import chat_template_sha256, tokenizer_sha256
from graft.planning.plan import RunPlan
from graft.planning.settings import finetune_settings
from graft.runs.folder import RunFolder
from graft.runs.kind import is_run
from graft.runs.manifest import ExtensionRecord, RunManifest, read_run
from graft.runs.trust import check_file
from graft.training.checkpoints import STATE, read_state, step_of, whole_checkpoints
from graft.training.schedule import ROWS_AT_ONCE

MAY_DIFFER = frozenset({"resume", "overwrite", "output_path"})
LENGTH = ("max_steps", "num_train_epochs")
"""Settings of a run's length, which may be raised."""
AGAIN = "restore the file, or train a new run with another --output_path"


def finished_run(given: FinetuneSettings) -> RunFolder | None:
    """The run in ``given.output_path`` if ``given`` asks to resume a run that is finished, and no more steps."""
    path = given.output_path
    if not given.resume or path is None or not is_run(path) or read_run(path).status != "finished":
        return None
    recorded = _recorded(path, given)
    if recorded is None or _is_longer(given, recorded, read_run(path)):
        return None
    _refuse_differences(given, recorded, str(path / "config.yaml"))
    return RunFolder(path)


def resumed(given: FinetuneSettings) -> FinetuneSettings:
    """The recorded settings of the run in ``given.output_path``; ``given`` itself unless it asks to resume.

    A number of steps or epochs that is given replaces the recorded one: it extends the run.

    Raises:
        InputError: when no output folder is given, a given setting differs from the recorded one, or a finished run
            has no checkpoint to go on from.
    """
    if not given.resume:
        return given
    if given.output_path is None:
        raise InputError("--resume requires a run folder", remedy="--output_path OUT")
    recorded = _recorded(given.output_path, given)
    if recorded is None:
        return given
    _refuse_differences(given, recorded, str(given.output_path / "config.yaml"))
    passed = {**recorded.training_arguments, **given.training_arguments}
    update = {"resume": True, "output_path": given.output_path, "token": given.token, "training_arguments": passed}
    update["trust_remote_code"] = given.trust_remote_code
    manifest = read_run(given.output_path) if is_run(given.output_path) else None
    longer = manifest is not None and _is_longer(given, recorded, manifest)
    update |= new_places(given, recorded, manifest, given.output_path)
    if longer and manifest is not None and manifest.status == "finished":
        _check_checkpoint(given.output_path)
    if longer:
        update |= {name: getattr(given, name) for name in LENGTH}
    pinned = ("per_device_train_batch_size", "gradient_accumulation_steps", *(("eval_steps",) if longer else ()))
    update |= _inferred(manifest, recorded, pinned)
    return recorded.model_copy(update=update)


def check_resumable(plan: RunPlan) -> RunPlan:
    """``plan`` with the extensions of the run that it resumes; ``plan`` itself where nothing is resumed.

    Raises:
        InputError: naming every input that is not the one the run was started with, or when fewer steps are asked for
            than the run had.
    """
    if not plan.settings.resume or not is_run(plan.output):
        return plan
    manifest = read_run(plan.output)
    _refuse_changes(plan, manifest)
    plan = _in_parts(plan, manifest)
    extensions = list(manifest.extensions)
    checkpoint = last_checkpoint(plan.output)
    planned = planned_steps(checkpoint) if checkpoint else None
    if checkpoint is None or planned is None or plan.training.steps == planned:
        return replace(plan, extensions=extensions)
    if plan.training.steps < planned:
        what = f"{plan.training.steps:,} steps are fewer than the {planned:,} of the run to resume"
        remedy = "omit --max_steps and --num_train_epochs, or give more than the run had"
        raise InputError(what, where=str(plan.output), remedy=remedy)
    extensions.append(ExtensionRecord(from_step=step_of(checkpoint), steps=plan.training.steps))
    return replace(plan, extensions=extensions)


def _in_parts(plan: RunPlan, manifest: RunManifest) -> RunPlan:
    """``plan`` with the rows that fitted in memory before: the parts of a sum decide its last bits."""
    known = next((s for s in manifest.inferred_settings if s.name == ROWS_AT_ONCE), None)
    if known is None or not isinstance(known.value, int) or not 0 < known.value < plan.training.batch_size:
        return plan
    said = InferredSetting(ROWS_AT_ONCE, known.value, known.why)
    return replace(plan, training=replace(plan.training, rows_at_once=known.value), inferred=[*plan.inferred, said])


def last_checkpoint(run: Path) -> Path | None:
    """The newest complete checkpoint of a run."""
    found = whole_checkpoints(run / "checkpoints")
    return found[-1] if found else None


def planned_steps(checkpoint: Path) -> int | None:
    """The number of steps that the training of ``checkpoint`` was planned for.

    Raises:
        InputError: If the checkpoint's state is damaged.
    """
    return read_state(checkpoint).max_steps if (checkpoint / STATE).is_file() else None


def _recorded(run: Path, given: FinetuneSettings) -> FinetuneSettings | None:
    """The settings of a run; code that they name is not run unless ``given`` names it, too, or trusts the run."""
    path = run / "config.yaml"
    if not path.is_file():
        return None
    document = interpolated(read_yaml(path, REMEDY), str(path), recorded=True)
    typed = given.model_dump(include=given.model_fields_set)
    document, _ = check_file(document, str(path), given.trust_remote_code, typed)
    return finetune_settings(document, str(path))


def _is_longer(given: FinetuneSettings, recorded: FinetuneSettings, manifest: RunManifest) -> bool:
    """Whether another length is given than the recorded one; ``check_resumable`` refuses a shorter one."""
    before = {name: getattr(recorded, name) or manifest.inferred(name) for name in LENGTH}
    return any(getattr(given, name) not in (None, before[name]) for name in LENGTH)


def _check_checkpoint(run: Path) -> None:
    if last_checkpoint(run) is None:
        raise InputError(
            "this run is finished and has no complete checkpoint, so it cannot be extended",
            where=str(run / "checkpoints"),
            remedy="give the run in place of the model to continue from its weights: graft finetune RUN DATA",
        )


def _inferred(manifest: RunManifest | None, recorded: FinetuneSettings, names: tuple[str, ...]) -> dict[str, Any]:
    """What was inferred and has to stay: a batch that depends on the free memory of the day would be another run."""
    if manifest is None:
        return {}
    found = {name: manifest.inferred(name) for name in names if name not in recorded.model_fields_set}
    return {name: value for name, value in found.items() if value is not None}


def _refuse_differences(given: FinetuneSettings, recorded: FinetuneSettings, where: str) -> None:
    problems = Problems()
    now, then = (settings.model_dump(exclude=SECRET) for settings in (given, recorded))
    for name in now.keys() & (given.model_fields_set - MAY_DIFFER - set(LENGTH) - {"trust_remote_code"}):
        measured = name == "precision" and given.precision == "auto"
        moved = name in PLACES and is_gone(then.get(name))
        if now[name] != then.get(name) and not measured and not moved:
            problems.add(
                f"--{name} {now[name]} differs from the value in the run to resume, {then.get(name)}",
                where,
                "omit it, or start again with --overwrite",
            )
    problems.raise_if_any()


def _refuse_changes(plan: RunPlan, manifest: RunManifest) -> None:
    """Check that the inputs are those of the manifest.

    Raises:
        InputError: Naming each input whose hash is another than the manifest's.
    """
    problems = Problems()
    _compare_files(plan, manifest, problems)
    base = manifest.base
    if base is not None and base.sha256 not in (None, plan.base.sha256):
        problems.add("the base model has changed since this run was started", plan.base.path, AGAIN)
    if base is not None and base.tokenizer_sha256 not in (None, tokenizer_sha256(plan.base.path)):
        problems.add("the tokenizer has changed since this run was started", plan.base.path, AGAIN)
    if manifest.chat_template_sha256 not in (None, chat_template_sha256(plan.tokenizer)):
        place = plan.settings.chat_template or str(plan.base.path)
        problems.add("the chat template has changed since this run was started", place[:200], AGAIN)
    parent, recorded = plan.parent, manifest.continued_from
    if parent is not None and recorded is not None and recorded.sha256 not in (None, parent.sha256):
        problems.add("the weights that this run continues from have changed since it was started", parent.place, AGAIN)
    problems.raise_if_any()


def _compare_files(plan: RunPlan, manifest: RunManifest, problems: Problems) -> None:
    now = plan.data.files
    for file, sha256 in manifest.data.files.items():
        if now.get(file) not in (None, sha256):
            problems.add("this data file has changed since the run was started", file, AGAIN)
    if manifest.data.files and not problems and set(now) == set(manifest.data.files):
        return
    pairs = ((manifest.data.train, plan.data.source), (manifest.data.eval, plan.data.eval_source))
    for recorded, found in pairs if not problems else ():
        then, now_is = (source.sha256 if source is not None else None for source in (recorded, found))
        if found is not None and None not in (then, now_is) and then != now_is:
            problems.add("the data have changed since the run was started", found.path, AGAIN)
