"""The settings with which an interrupted run goes on."""

from __future__ import annotations

import yaml

from graft.config import SECRET, FinetuneSettings
from graft.errors import InputError, Problems
from graft.planning.settings import finetune_settings

MAY_DIFFER = frozenset({"resume", "overwrite", "output_path"})


def resumed(given: FinetuneSettings) -> FinetuneSettings:
    """The recorded settings of the run in ``given.output_path``; ``given`` itself unless it asks to resume.

    Raises:
        InputError: when no output folder is given, or a given setting differs from the recorded one.
    """
    if not given.resume:
        return given
    if given.output_path is None:
        raise InputError("--resume requires a run folder", remedy="--output_path OUT")
    path = given.output_path / "config.yaml"
    if not path.is_file():
        return given
    recorded = finetune_settings(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
    _refuse_differences(given, recorded, str(path))
    passed = {**recorded.training_arguments, **given.training_arguments}
    update = {"resume": True, "output_path": given.output_path, "token": given.token, "training_arguments": passed}
    return recorded.model_copy(update=update)


def _refuse_differences(given: FinetuneSettings, recorded: FinetuneSettings, where: str) -> None:
    problems = Problems()
    now, then = (settings.model_dump(exclude=SECRET) for settings in (given, recorded))
    for name in now.keys() & (given.model_fields_set - MAY_DIFFER):
        measured = name == "precision" and given.precision == "auto"
        if now[name] != then.get(name) and not measured:
            problems.add(
                f"--{name} {now[name]} differs from the value in the run to resume, {then.get(name)}",
                where,
                "omit it, or start again with --overwrite",
            )
    problems.raise_if_any()
