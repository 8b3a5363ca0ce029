"""``graft finetune``: data and a model in, a tuned and evaluated model out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.commands.advice import diverged, interrupted, resume_line, warn_of_learning_rate, write_remedies
from graft.commands.failures import as_graft_error
from graft.commands.model_training import prepared_model, training_request
from graft.commands.resume import check_resumable, finished_run, resumed
from graft.commands.run_record import end_of, record_start, record_training, write_chat_template
from graft.config import FinetuneSettings
from graft.errors import GraftError, Interrupted
from graft.events import Events
from graft.interruption import postponed
from graft.methods import METHODS
from graft.methods.adapter_folder import base_format
from graft.methods.base import trainable_parameters
from graft.models.base import complete_adapter, link, save_new_tokens
from graft.planning.plan import RunPlan, plan_run
from graft.planning.settings import finetune_settings
from graft.progress import SILENT, Reporter, enter
from graft.report import write_pages
from graft.runs.folder import RunFolder
from graft.runs.trust import consent_words
from graft.shell import command
from graft.tasks.base import default_learning_rate
from graft.tasks.load import write_config

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
        Interrupted: after Ctrl-C, SIGTERM or SIGHUP; ``resume=True`` continues the run.
        GraftError: when training failed; the manifest records the error, and the last complete checkpoint is kept.
    """
    given, reporter = as_settings(settings), Events.of(reporter)
    return already_finished(given, reporter) or carry_out(plan(given, reporter), reporter)


def plan(settings: FinetuneSettings | Mapping[str, Any], reporter: Reporter = SILENT) -> RunPlan:
    """Decide everything about a run and write nothing: what ``--dry_run`` prints.

    Raises:
        InputError: with everything that is wrong with the settings, the data and the model.
    """
    enter(reporter, "reading")
    return check_resumable(plan_run(resumed(as_settings(settings)), reporter))


def as_settings(settings: FinetuneSettings | Mapping[str, Any]) -> FinetuneSettings:
    """Settings by name, checked.

    Raises:
        InputError: when anything is unknown or out of bounds; all of it at once.
    """
    return settings if isinstance(settings, FinetuneSettings) else finetune_settings(settings)


def already_finished(settings: FinetuneSettings, reporter: Reporter = SILENT) -> Path | None:
    """The run folder, where ``settings`` ask to resume a run that is finished and give it no more steps.

    A report that the process could not write before it ended is written; nothing else is changed.

    Raises:
        InputError: when a given setting differs from the run's.
    """
    run = finished_run(settings)
    if run is None:
        return None
    consent = consent_words(settings.model_dump(mode="json"))
    more = command("graft", "finetune", "--resume", "--output_path", run.path, "--max_steps", "STEPS", *consent)
    reporter.note(f"{run.path} is finished; nothing was trained. To train for more steps: {more}")
    if not all((run.path / name).is_file() for name in ("report.html", "README.md")):
        write_pages(run.path)
    return run.path


def carry_out(
    plan: RunPlan, reporter: Reporter = SILENT, trained: Callable[[RunFolder, Any], None] = lambda run, model: None
) -> Path:
    """Train, save and evaluate as ``plan`` says; returns the run folder.

    Args:
        plan: The run.
        reporter: Shows the progress.
        trained: Called with the run and the tuned model after it was saved.

    Raises:
        Interrupted: after Ctrl-C, SIGTERM or SIGHUP.
        GraftError: when the work failed.
    """
    run = RunFolder.create(plan.output, overwrite=plan.settings.overwrite, resume=plan.settings.resume)
    events = reporter = Events.of(reporter)
    with run.lock(), events.into(run.path), _recorded_end(run, plan):
        record_start(run, plan)
        reporter.phase("loading")
        model = prepared_model(plan)
        parameters = trainable_parameters(model)
        result = _train(run, model, plan, reporter)
        reporter.phase("writing")
        _save(run, model, plan, result, parameters)
        trained(run, model)
        _judge(run, model, plan, reporter)
        reporter.phase("writing")
    return plan.output


def _judge(run: RunFolder, model: Any, plan: RunPlan, reporter: Reporter) -> None:
    """Compare the tuned model with its base, on the held-out rows and on neutral prompts."""
    from graft.commands.evaluate import compare_run, probe_alone

    if plan.settings.evaluate and plan.data.eval:
        compare_run(run, model, plan, reporter)
    else:
        probe_alone(run, model, plan, reporter)


def _train(run: RunFolder, model: Any, plan: RunPlan, reporter: Reporter) -> TrainResult:
    """Train ``model`` in place, and report what a user should know of it."""
    from graft.training.loop import train

    tuned, total = trainable_parameters(model)
    reporter.note(f"{plan.settings.method}: {tuned:,} of {total:,} parameters are trained ({tuned / total:.2%})")
    default = default_learning_rate(plan.task, METHODS.get(plan.settings.method))
    warn_of_learning_rate(run, plan, default, reporter)
    request = training_request(run, model, plan)
    enter(reporter, "step")
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
    folder = run.path / "model"
    link(plan.base, folder, copy=plan.settings.copy_base)
    if plan.encoding.label_space.names:
        write_config(model, folder)
    method = METHODS.get(plan.settings.method)
    method.save(model, run.path)
    if plan.base.new_tokens:
        save_new_tokens(plan.base, folder, run.path / method.writes)
    write_chat_template(plan, folder)  # after the tokenizer, which brings that of the base
    if method.writes == "adapter":
        complete_adapter(
            run.path / "adapter",
            plan.base,
            folder,
            revision=plan.settings.model_revision,
            has_own_head=bool(plan.encoding.label_space.names),
            quantization=base_format(run.path / "adapter"),
        )
    record_training(run, result, *parameters)
    if result.diverged:
        raise diverged(run, result.diverged, result.kept_step)


@contextlib.contextmanager
def _recorded_end(run: RunFolder, plan: RunPlan) -> Iterator[None]:
    """Write the run's report, and record how it ends: ``finished`` comes last, when everything is there."""
    try:
        yield
        _end(run, "finished")
    except (KeyboardInterrupt, Interrupted) as error:
        with postponed(), contextlib.suppress(GraftError):  # a second Ctrl-C, or a full disk, must not hide the first
            run.update_manifest(**end_of("interrupted"))
        if isinstance(error, Interrupted):
            raise
        raise Interrupted(f"interrupted; {plan.output} can be resumed", remedy=resume_line(plan)) from None
    except Exception as error:
        failure = as_graft_error(error)
        with contextlib.suppress(Exception):  # the failure matters more than what is written about it
            _end(run, "failed", str(failure))
        raise failure from error


def _end(run: RunFolder, status: str, error: str | None = None) -> None:
    ended = end_of(status, error)
    try:
        write_pages(run.path, **ended)
    finally:
        run.update_manifest(**ended)
