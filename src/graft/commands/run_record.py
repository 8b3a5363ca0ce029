"""What ``graft finetune`` writes about a run before, during and after training."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft._version import __version__
from graft.config import SECRET, recordable
from graft.data.example import Example
from graft.data.rows import as_row
from graft.documents import dump_yaml
from graft.hardware.machine import machine
from graft.methods import METHODS
from graft.models.base import Base, save_chat_template
from graft.plain_text import mask_secrets
from graft.planning.fingerprints import chat_template_sha256, tokenizer_sha256
from graft.planning.plan import RunPlan
from graft.planning.quick_checks import finding_record
from graft.runs.evaluation_document import read_metrics
from graft.runs.folder import RunFolder
from graft.runs.kind import is_run
from graft.runs.manifest import read_run, timestamp

if TYPE_CHECKING:
    from graft.training.loop import TrainResult


def record_start(run: RunFolder, plan: RunPlan) -> None:
    """Write the settings, the rows and the manifest of a run that begins, or goes on."""
    run.write_text("config.yaml", _config(plan))
    run.update_manifest(graft=__version__, command="finetune", status="running", started=timestamp())
    run.write_text("data/train.jsonl", _lines(plan.data.train))
    run.write_text("data/eval.jsonl", _lines(plan.data.eval))
    settings, base, encoding = plan.settings, plan.base, plan.encoding
    method = METHODS.get(settings.method)
    run.update_manifest(
        task_name=settings.task_name,
        task={
            "name": plan.task.name,
            "label_space": encoding.label_space.as_record(),
            "max_length": encoding.max_length,
        },
        method={"name": method.name, "title": method.title, "loads_with": method.loads_with},
        settings=settings.model_dump(mode="json", exclude=SECRET),
        inferred_settings=[asdict(setting) for setting in plan.inferred],
        versions={name: version(name) for name in ("torch", "transformers", "peft")}
        | {"python": platform.python_version(), "graft": __version__},
        seed=settings.seed,
        machine=machine(),
        base={**base_record(run, base), "name": _name_of(run, base)},
        continued_from=_parent(run, plan),
        chat_template_sha256=chat_template_sha256(plan.tokenizer),
        extensions=[extension.document() for extension in plan.extensions],
        data=_data(plan),
        finished=None,
        error=None,
    )


def base_record(run: RunFolder, base: Base) -> dict[str, Any]:
    """Return what a manifest says of a base."""
    return {
        "name": base.name,
        "path": _place_of(run, base),
        "sha256": base.sha256,
        "tokenizer_sha256": tokenizer_sha256(base.path),
        "license": base.license,
    }


def write_chat_template(plan: RunPlan, folder: Path) -> None:
    """Write a chat template that is not the base's into the run's ``model`` folder, where every program reads it."""
    settings = plan.settings
    brought = settings.chat_template is not None or settings.chat_template_kwargs or plan.parent is not None
    if brought and plan.tokenizer.chat_template:
        save_chat_template(plan.tokenizer, folder)


def _parent(run: RunFolder, plan: RunPlan) -> dict[str, Any] | None:
    """What the run continues from, by a path that holds when both folders are moved together."""
    if plan.parent is None:
        return None
    earlier = plan.parent.opened.run
    path = _from_run(run, plan.parent.place)
    steps = read_run(earlier).training.steps if earlier is not None else None
    return {"path": path, "name": plan.parent.opened.name, "sha256": plan.parent.sha256, "steps": steps}


def _name_of(run: RunFolder, base: Base) -> str:
    """The base's name; of a run that is resumed elsewhere the one that it began with, if these are the same weights."""
    known = run.manifest.base if is_run(run.path) else None
    return known.name if known is not None and known.sha256 == base.sha256 else base.name


def _place_of(run: RunFolder, base: Base) -> str:
    """Where the base is, from the run: of a folder or a file the place itself, else that in a cache."""
    return _from_run(run, Path(base.name)) if base.kind in ("folder", "gguf") else str(base.path)


def _from_run(run: RunFolder, place: Path) -> str:
    """A path that holds when both are moved together, however far apart they are."""
    try:
        return Path(os.path.relpath(place.resolve(), run.path.resolve())).as_posix()
    except ValueError:  # on another drive
        return str(place.resolve())


def record_training(run: RunFolder, result: TrainResult, trainable: int, parameters: int) -> None:
    """Write what came of the training: its figures, the numbers of parameters, the adapter's hash."""
    figures = {name: value for name, value in asdict(result).items() if name not in {"interrupted", "stopped"}}
    if result.rows_per_second is None:  # nothing was left to train: the figures are those of the training before
        kept = run.manifest.training
        figures |= {name: getattr(kept, name) for name in ("rows_per_second", "tokens_per_second", "seconds")}
    counts = {"trainable_parameters": trainable, "parameters": parameters, "peak_rss_mb": _peak_rss_mb(run)}
    adapter = {"sha256": _sha256(run.path / "adapter" / "adapter_model.safetensors")}
    run.update_manifest(training=figures | counts, adapter=adapter)


def end_of(status: str, error: str | None = None) -> dict[str, Any]:
    """The fields of the manifest that say how and when a run ended."""
    return {"status": status, "finished": timestamp(), **({"error": mask_secrets(error)} if error else {})}


def _config(plan: RunPlan) -> str:
    """config.yaml: what was given, and the seed. ``graft finetune --config`` does the same run again."""
    settings = plan.settings
    unwritten: dict[str, Any] = {"resume": True, "overwrite": True, **SECRET}
    recorded = settings.model_dump(mode="json", exclude=unwritten, exclude_defaults=True)
    if settings.precision == "auto":  # measured once: a run that is resumed or repeated computes as this one did
        recorded["precision"] = plan.training.precision
    if any(inferred.name == "max_length" for inferred in plan.inferred):  # it depends on the memory that was free
        recorded["max_length"] = plan.encoding.max_length
    return dump_yaml(recordable({**recorded, "seed": settings.seed}))


def _data(plan: RunPlan) -> dict[str, Any]:
    data = plan.data
    return {
        "train": asdict(data.source),
        "eval": asdict(data.eval_source) if data.eval_source else None,
        "files": dict(data.files),
        "train_rows": len(plan.rows),
        "held_out_rows": len(plan.held_out),
        "labels": data.mapping.labels,
        "kind": data.mapping.kind,
        "trained_token_share": round(plan.trained_tokens / max(plan.tokens, 1), 4),
        "tokens": plan.tokens,
        "summary": data.summary,
        "findings": [finding_record(finding) for finding in data.findings],
    }


def _peak_rss_mb(run: RunFolder) -> float | None:
    return max((line.rss_mb for line in read_metrics(run.path) if line.rss_mb is not None), default=None)


def _lines(examples: Iterable[Example]) -> str:
    return "".join(json.dumps(as_row(example), ensure_ascii=False) + "\n" for example in examples)


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
