"""``graft finetune``: data and a model in, a tuned and compared model out."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from graft._version import __version__
from graft.config import SECRET, FinetuneSettings, build
from graft.data.example import Example
from graft.errors import GraftError, InputError, Interrupted, Problems
from graft.hardware.machine import machine
from graft.methods import METHODS
from graft.methods.base import trainable_parameters
from graft.models.base import Opened, link, load_model
from graft.planning.plan import RunPlan, as_graft_error, plan_run
from graft.progress import Reporter, Silent
from graft.report import write_pages
from graft.runs.folder import RunFolder
from graft.runs.health import learning_rate_out_of_range
from graft.runs.remedies import PATCHES, patch
from graft.runs.rows import as_row
from graft.runs.view import RunView
from graft.tasks.base import default_learning_rate
from graft.tasks.load import load_for, with_head_trained, write_config


def finetune(settings: FinetuneSettings | Mapping[str, Any], reporter: Reporter | None = None) -> Path:
    """Tune, compare, report. Returns the run folder.

    Raises:
        InputError: when settings, data or model are wrong; nothing has been written then.
        Interrupted: after Ctrl-C; ``resume=True`` goes on.
        GraftError: when the work failed; the manifest says so, and the last whole checkpoint is kept.
    """
    given = settings if isinstance(settings, FinetuneSettings) else build(FinetuneSettings, settings)
    reporter = reporter or Silent()
    plan = plan_run(with_recorded(given) if given.resume else given, reporter)
    return carry_out(plan, reporter)


def carry_out(plan: RunPlan, reporter: Reporter) -> Path:
    """Do what ``plan`` says."""
    settings = plan.settings
    run = RunFolder.create(plan.output, overwrite=settings.overwrite, resume=settings.resume)
    with run.lock():
        try:
            _begin(run, plan)
            _train(run, plan, reporter)
        except KeyboardInterrupt:
            _end(run, "interrupted")
            raise Interrupted(f"interrupted; {plan.output} can be resumed", remedy=_resume_line(plan)) from None
        except Interrupted:
            _end(run, "interrupted")
            raise
        except Exception as error:
            failure = as_graft_error(error)
            _end(run, "failed", str(failure))
            _write_what_there_is(run.path)
            raise failure from error
    return plan.output


def with_recorded(given: FinetuneSettings) -> FinetuneSettings:
    """The settings of the run to resume.

    Raises:
        InputError: when there is no run, or a given setting differs from the recorded one.
    """
    if given.output_path is None:
        raise InputError("--resume needs the run folder", remedy="--output_path OUT")
    path = given.output_path / "config.yaml"
    if not path.is_file():
        return given
    recorded: FinetuneSettings = build(FinetuneSettings, yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
    problems = Problems()
    now, then = (settings.model_dump(exclude=SECRET) for settings in (given, recorded))
    for name in now.keys() & (given.model_fields_set - {"resume", "overwrite", "output_path"}):
        measured = name == "precision" and given.precision == "auto"
        if now[name] != then[name] and not measured:
            problems.add(
                f"--{name} {now[name]} differs from the run to resume, which has {then[name]}",
                str(path),
                "leave it away, or start anew with --overwrite",
            )
    problems.raise_if_any()
    passed = {**recorded.training_arguments, **given.training_arguments}
    update = {"resume": True, "output_path": given.output_path, "token": given.token, "training_arguments": passed}
    return recorded.model_copy(update=update)


def _begin(run: RunFolder, plan: RunPlan) -> None:
    settings = plan.settings
    unwritten: dict[str, Any] = {"resume": True, "overwrite": True, **SECRET}
    recorded = settings.model_dump(mode="json", exclude=unwritten, exclude_defaults=True)
    if settings.precision == "auto":  # measured once: a run that is resumed or done again computes as this one did
        recorded["precision"] = plan.training.precision
    run.write_text(
        "config.yaml", yaml.safe_dump({**recorded, "seed": settings.seed}, sort_keys=True, allow_unicode=True)
    )
    run.update_manifest(graft=__version__, command="finetune", status="running", started=_now())
    (run.path / "data").mkdir(exist_ok=True)
    run.write_text("data/train.jsonl", _lines(plan.data.train))
    run.write_text("data/eval.jsonl", _lines(plan.data.eval))
    summary = plan.data.summary
    run.update_manifest(
        task_name=settings.task_name,
        task={
            "name": plan.task.name,
            "head": plan.encoding.label_space.as_record(),
            "max_length": plan.encoding.max_length,
        },
        settings=settings.model_dump(mode="json", exclude=SECRET),
        inferences=[asdict(inference) for inference in plan.inferred],
        versions={name: version(name) for name in ("torch", "transformers", "peft")}
        | {"python": platform.python_version(), "graft": __version__},
        seed=settings.seed,
        machine=machine(),
        base={
            "name": plan.base.name,
            "path": str(plan.base.path),
            "sha256": plan.base.sha256,
            "licence": plan.base.license,
        },
        data={
            "train": asdict(plan.data.source),
            "eval": asdict(plan.data.eval_source) if plan.data.eval_source else None,
            "train_rows": len(plan.rows),
            "held_out_rows": len(plan.held_out),
            "labels": plan.data.mapping.labels,
            "kind": plan.data.mapping.kind,
            "trained_token_share": round(plan.trained_tokens / max(plan.tokens, 1), 4),
            "tokens": plan.tokens,
            "summary": summary,
        },
        finished=None,
    )


def _train(run: RunFolder, plan: RunPlan, reporter: Reporter) -> None:
    import transformers

    from graft.training.loop import train

    settings = plan.settings
    transformers.set_seed(settings.seed)
    method = METHODS.get(settings.method)
    model = load_for(plan.task, plan.encoding, plan.base, settings.seed)
    model = method.prepare(model, with_head_trained(settings, model))
    tuned, total = trainable_parameters(model)
    reporter.note(f"{settings.method}: {tuned:,} of {total:,} parameters are trained ({tuned / total:.2%})")
    _say_learning_rate(run, plan, default_learning_rate(plan.task, method), reporter)
    result = train(
        model,
        plan.tokenizer.pad_token_id,
        plan.rows,
        plan.monitored,
        settings,
        plan.training,
        run,
        reporter,
        plan.loss.with_teacher(load_teacher(plan.loss.teacher)) if plan.loss.teacher else plan.loss,
        plan.objective,
    )
    _write_patches(run, plan, reporter)
    if result.engine_reason:
        reporter.note(f"padded batches were used: {result.engine_reason}")
    if result.interrupted:
        raise Interrupted(f"interrupted after step {result.steps}; the checkpoint is kept", remedy=_resume_line(plan))
    if result.early_stopped:
        reporter.note(f"stopped early after {result.steps} steps: best held-out loss at step {result.best_step}")
    if result.diverged and result.kept_step is None:
        raise _diverged(run, result.diverged, "no checkpoint had been written yet")
    link(plan.base, run.path / "model")
    if plan.encoding.label_space.names:
        write_config(model, run.path / "model")
    method.save(model, run.path)
    run.update_manifest(
        training={
            **{name: value for name, value in asdict(result).items() if name not in {"interrupted"}},
            "trainable_parameters": tuned,
            "parameters": total,
            "peak_rss_mb": _peak_rss_mb(run),
        },
        adapter={"sha256": _sha256(run.path / "adapter" / "adapter_model.safetensors")},
    )
    if result.diverged:
        raise _diverged(run, result.diverged, f"what is kept are the weights of step {result.kept_step}")
    if settings.evaluate and plan.data.eval:
        from graft.commands.evaluate import compare_run

        compare_run(run, model, plan, reporter)
    _end(run, "finished")
    write_pages(run.path)


def _say_learning_rate(run: RunFolder, plan: RunPlan, usual: float, reporter: Reporter) -> None:
    sign = learning_rate_out_of_range(plan.training.learning_rate, usual, plan.settings.method)
    if sign:
        reporter.note(f"{sign.what[:1].upper()}{sign.what[1:]}: {'; '.join(sign.remedies)}")
        if not plan.settings.resume:
            run.append_metrics({"step": 0, "sign": sign.kind, "what": sign.what})


def _write_patches(run: RunFolder, plan: RunPlan, reporter: Reporter) -> None:
    """For each sign with a remedy in settings, the YAML that lies over the run's config.yaml."""
    settings = plan.settings.model_dump(mode="json")
    name = run.path.as_posix()
    for sign in RunView.read(run.path).signs:
        if sign.kind in PATCHES:
            run.write_text(PATCHES[sign.kind], patch(sign.kind, settings, plan.training.learning_rate, name, sign.what))
            reporter.note(
                f"against {sign.kind}, the same settings with a remedy over them:\n    {_again(name, sign.kind)}"
            )


def _diverged(run: RunFolder, what: str, kept: str) -> GraftError:
    return GraftError(f"{what}; {kept}", remedy=_again(run.path.as_posix(), "divergence"))


def _again(name: str, kind: str) -> str:
    return f"graft finetune --config {name}/config.yaml {name}/{PATCHES[kind]} --output_path {name}-again"


def load_teacher(teacher: Opened) -> Any:
    """The teacher's weights, its adapter over them where it has one."""
    from graft.methods.adapter_folder import load_adapter

    model = load_model(teacher.base)
    return load_adapter(model, teacher.adapter) if teacher.adapter else model


def _write_what_there_is(run: Path) -> None:
    """A failed run's page says where it went wrong; the failure itself is what matters if that fails, too."""
    with contextlib.suppress(Exception):
        write_pages(run)


def _end(run: RunFolder, status: str, error: str | None = None) -> None:
    run.update_manifest(status=status, finished=_now(), **({"error": error} if error else {}))


def _resume_line(plan: RunPlan) -> str:
    return f"graft finetune --resume --output_path {plan.output}"


def _peak_rss_mb(run: RunFolder) -> float | None:
    path = run.path / "metrics.jsonl"
    if not path.is_file():
        return None
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return max((line["rss_mb"] for line in lines if "rss_mb" in line), default=None)


def _lines(examples: list[Example]) -> str:
    return "".join(json.dumps(as_row(example), ensure_ascii=False) + "\n" for example in examples)


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
