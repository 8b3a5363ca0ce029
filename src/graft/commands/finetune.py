"""``graft finetune``: data and a model in, a tuned and evaluated model out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.commands.advice import diverged, interrupted, resume_line, warn_of_learning_rate, write_remedies
from graft.commands.failures import as_graft_error
from graft.commands.monitor import make_monitor
from graft.commands.resume import resumed
from graft.commands.run_record import record_end, record_start, record_training
from graft.config import FinetuneSettings, config_of
from graft.errors import Interrupted
from graft.methods import METHODS
from graft.methods.base import trainable_parameters
from graft.models.base import link, save_new_tokens
from graft.planning.plan import RunPlan, plan_run
from graft.planning.settings import finetune_settings
from graft.progress import SILENT, Reporter
from graft.report import write_pages
from graft.runs.folder import RunFolder
from graft.tasks.base import default_learning_rate
from graft.tasks.load import load_for, new_heads, write_config

if TYPE_CHECKING:
    from graft.training.loop import TrainResult


def finetune(settings: FinetuneSettings | Mapping[str, Any], reporter: Reporter = SILENT) -> Path:
    """Tune a model, compare it with its base on held-out rows, and write the report.

    Args:
        settings: settings of ``graft finetune`` by name.
        reporter: shows the progress.

    Returns:
        The run folder.

    Raises:
        InputError: when the settings, the data or the model are invalid; nothing is written.
        Interrupted: after Ctrl-C; ``resume=True`` continues the run.
        GraftError: when training failed; the manifest records the error, and the last complete checkpoint is kept.
    """
    return carry_out(plan(settings, reporter), reporter)


def plan(settings: FinetuneSettings | Mapping[str, Any], reporter: Reporter = SILENT) -> RunPlan:
    """Decide everything about a run and write nothing: what ``--dry_run`` prints.

    Raises:
        InputError: with everything that is wrong with the settings, the data and the model.
    """
    given = settings if isinstance(settings, FinetuneSettings) else finetune_settings(settings)
    return plan_run(resumed(given), reporter)


def carry_out(plan: RunPlan, reporter: Reporter = SILENT) -> Path:
    """Train, save and evaluate as ``plan`` says; returns the run folder.

    Raises:
        Interrupted: after Ctrl-C.
        GraftError: when the work failed.
    """
    run = RunFolder.create(plan.output, overwrite=plan.settings.overwrite, resume=plan.settings.resume)
    with run.lock(), _recorded_end(run, plan):
        record_start(run, plan)
        model = _prepared_model(plan)
        parameters = trainable_parameters(model)
        result = _train(run, model, plan, reporter)
        _save(run, model, plan, result, parameters)
        if plan.settings.evaluate and plan.data.eval:
            from graft.commands.evaluate import compare_run

            compare_run(run, model, plan, reporter)
    return plan.output


def _prepared_model(plan: RunPlan) -> Any:
    """The base model, made ready by the method: what is tuned requires gradients."""
    import transformers

    transformers.set_seed(plan.settings.seed)
    model = load_for(plan.task, plan.encoding, plan.base, plan.settings.seed)
    method = METHODS.get(plan.settings.method)
    return method.prepare(model, config_of(plan.settings, method.Config), plan.settings.seed, new_heads(model))


def _train(run: RunFolder, model: Any, plan: RunPlan, reporter: Reporter) -> TrainResult:
    """Train ``model`` in place, and report what a user should know of it."""
    from graft.training.loop import TrainRequest, train
    from graft.training.losses.distillation import load_teacher

    tuned, total = trainable_parameters(model)
    reporter.note(f"{plan.settings.method}: {tuned:,} of {total:,} parameters are trained ({tuned / total:.2%})")
    default = default_learning_rate(plan.task, METHODS.get(plan.settings.method))
    warn_of_learning_rate(run, plan, default, reporter)
    request = TrainRequest(
        model=model,
        pad_token_id=plan.tokenizer.pad_token_id,
        rows=plan.rows,
        held_out=plan.monitored,
        settings=plan.settings,
        schedule=plan.training,
        run=run,
        loss=plan.loss.with_teacher(load_teacher(plan.loss.teacher)) if plan.loss.teacher else plan.loss,
        objective=plan.objective,
        monitor=make_monitor(plan, model),
    )
    result = train(request, reporter)
    write_remedies(run, plan, reporter)
    if result.engine_reason:
        reporter.note(f"the run used padded batches: {result.engine_reason}")
    if result.interrupted:
        raise interrupted(plan, result.steps)
    if result.early_stopped:
        best = "held-out loss" if result.metric == "loss" else result.metric
        reporter.note(f"stopped early after {result.steps} steps: best {best} at step {result.best_step}")
    return result


def _save(run: RunFolder, model: Any, plan: RunPlan, result: TrainResult, parameters: tuple[int, int]) -> None:
    """Save what was tuned, and the figures of the training.

    Raises:
        GraftError: when the training diverged; the weights from before are saved where there are any.
    """
    if result.diverged and result.kept_step is None:
        raise diverged(run, result.diverged, None)
    link(plan.base, run.path / "model")
    if plan.encoding.label_space.names:
        write_config(model, run.path / "model")
    method = METHODS.get(plan.settings.method)
    method.save(model, run.path)
    if plan.base.new_tokens:
        save_new_tokens(plan.base, run.path / "model", run.path / method.writes)
    record_training(run, result, *parameters)
    if result.diverged:
        raise diverged(run, result.diverged, result.kept_step)


@contextlib.contextmanager
def _recorded_end(run: RunFolder, plan: RunPlan) -> Iterator[None]:
    """Record how the run ends, and write its report: a failed run's report says where it went wrong."""
    try:
        yield
        record_end(run, "finished")
        write_pages(run.path)
    except (KeyboardInterrupt, Interrupted) as error:
        record_end(run, "interrupted")
        if isinstance(error, Interrupted):
            raise
        raise Interrupted(f"interrupted; {plan.output} can be resumed", remedy=resume_line(plan)) from None
    except Exception as error:
        failure = as_graft_error(error)
        record_end(run, "failed", str(failure))
        with contextlib.suppress(Exception):  # the failure itself matters more than a page about it
            write_pages(run.path)
        raise failure from error
