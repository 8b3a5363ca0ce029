"""What a run says about its own health, with the command that would do better."""

from __future__ import annotations

from graft.config import config_of
from graft.errors import GraftError, Interrupted
from graft.methods import METHODS
from graft.planning.plan import RunPlan
from graft.progress import Reporter
from graft.runs.folder import RunFolder
from graft.runs.health import learning_rate_out_of_range
from graft.runs.remedies import PATCHES, changes, patch, repeat_command
from graft.runs.trust import consent_words
from graft.runs.view import RunView
from graft.shell import command


def warn_of_learning_rate(run: RunFolder, plan: RunPlan, default: float, reporter: Reporter) -> None:
    """Report a learning rate far from the method's ``default``, and log it once."""
    warning = learning_rate_out_of_range(plan.training.learning_rate, default, plan.settings.method)
    if warning:
        reporter.note(f"{warning.message[:1].upper()}{warning.message[1:]}: {'; '.join(warning.remedies)}")
        if not plan.settings.resume:
            run.append_metrics({"step": 0, "warning": warning.kind, "message": warning.message})


def write_remedies(run: RunFolder, plan: RunPlan, reporter: Reporter) -> None:
    """For each warning of trouble with a remedy in settings, write the YAML that lies over the run's config.yaml."""
    settings = plan.settings.model_dump(mode="json")
    method = METHODS.get(plan.settings.method)
    less = method.less_capacity(config_of(plan.settings, method.Config))
    for warning in RunView.read(run.path).warnings:
        if warning.kind in PATCHES:
            changed = changes(warning.kind, settings, plan.training.learning_rate, less)
            again = repeat_command(run.path.as_posix(), warning.kind, settings)
            run.write_text(PATCHES[warning.kind], patch(changed, again, warning.message))
            reporter.note(f"to counter {warning.kind}, repeat the run with changed settings:\n    {again}")


def diverged(run: RunFolder, reason: str, kept_step: int | None) -> GraftError:
    """The error of a run that was stopped because its loss diverged."""
    settings = RunView.read(run.path).settings
    kept = "no checkpoint was written" if kept_step is None else f"the weights of step {kept_step} are kept"
    return GraftError(f"{reason}; {kept}", remedy=repeat_command(run.path.as_posix(), "divergence", settings))


def interrupted(plan: RunPlan, steps: int) -> Interrupted:
    """The error of a run that was stopped by a signal after ``steps``."""
    if not steps:
        return Interrupted("interrupted before the first step", remedy=resume_line(plan))
    if plan.training.save_strategy == "no":
        again = command("graft", "finetune", "--config", plan.output / "config.yaml", "--overwrite", *_consent(plan))
        return Interrupted(f"interrupted after step {steps}; --save_strategy no keeps no checkpoint", remedy=again)
    return Interrupted(f"interrupted after step {steps}; the checkpoint is kept", remedy=resume_line(plan))


def resume_line(plan: RunPlan) -> str:
    """The command that resumes this run."""
    return command("graft", "finetune", "--resume", "--output_path", plan.output, *_consent(plan))


def _consent(plan: RunPlan) -> tuple[str, ...]:
    return consent_words(plan.settings.model_dump(mode="json"))
