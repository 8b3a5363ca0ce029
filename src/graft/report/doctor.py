"""What went wrong in a run, and what to do about it, with evidence from the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median
from typing import Any

from graft.data.baselines import TFIDF
from graft.data.checks import Finding, Severity
from graft.evaluation.unbeaten import unbeaten
from graft.report import summary, usage
from graft.report.base_weights import MISSING, dependence
from graft.report.confusion import commonest_share
from graft.report.findings import gravest_first
from graft.report.forgetting_section import SAID, remedies, sentence_of
from graft.report.format import duration, megabytes, metric_of
from graft.runs.forgetting_record import CHANGED, LOST
from graft.runs.health import AGAINST_FULL_MEMORY
from graft.runs.view import RunView, number

FEW_ROWS = 200
FEW_HELD_OUT = 100
LONG_SECONDS = 120.0
"""Shorter trainings get no advice about speed."""
NEARLY_ALL = 0.85
MUCH = 0.25
"""A share of the time that is reported."""
BUSY = 0.6
UNEVEN = 10.0


NOTES = frozenset(("slow", "too_short"))
"""The kinds of findings that are no fault of the run."""


def finding_of(
    kind: str, title: str, evidence: tuple[str, ...], remedies: tuple[str, ...], severity: Severity = "warning"
) -> Finding:
    """Return a finding about a run or a bundle.

    Args:
        kind: Its name for programs.
        title: One clause.
        evidence: Figures of the run.
        remedies: What to set or do, the likeliest first.
        severity: How grave it is.
    """
    first, *further = remedies or ("",)
    return Finding(kind, severity, title, remedy=first, evidence=evidence, side="", further=tuple(further))


def diagnose(view: RunView, name: str | None = None) -> list[Finding]:
    """Return everything that was found, the gravest first.

    Args:
        view: The run.
        name: Its folder as one would type it; the path that it was read from when not given.
    """
    name = name or view.path.as_posix()
    checks: tuple[Callable[[RunView], Iterator[Finding]], ...] = (
        _base,
        _memory,
        _unlearned,
        _poor,
        _forgotten,
        _slow,
    )
    found = [*_ending(view, name), *_health(view, name)]
    for check in checks:
        found += [finding for finding in check(view) if finding.kind not in {f.kind for f in found}]
    return gravest_first(replace(each, severity="note") if each.kind in NOTES else each for each in found)


def _ending(view: RunView, name: str) -> Iterator[Finding]:
    resume = usage.resume_command(view, name)
    if view.killed:
        full = _memory_evidence(view)
        yield finding_of(
            "killed",
            "the process no longer exists: it was killed, or the machine stopped",
            (*_progress(view), *full),
            (resume, *(AGAINST_FULL_MEMORY if full else ("check the system log for an out-of-memory kill",))),
            "error",
        )
    elif view.status == "interrupted":
        yield finding_of("interrupted", "the run was interrupted", _progress(view), (resume,))
    if view.status == "failed":
        what, _, remedy = view.error.partition("\n")
        kind = next((kind for words_, kind in _FAILURES if words_ in what), "failed")
        own = (remedy.strip(),) if remedy.strip() else ()
        more = AGAINST_FULL_MEMORY if kind == "memory" else ()
        remedies = own + more or ("run it again with --debug to see where",)
        yield finding_of(kind, f"the run failed: {what}", _progress(view), remedies, "error")


_FAILURES = (("not enough memory", "memory"), ("disk", "disk"), ("diverged", "divergence"), ("became", "divergence"))


def _progress(view: RunView) -> tuple[str, ...]:
    last, wanted = view.last_step, number(view.settings.get("max_steps"))
    if last is None:
        return ("the run stopped before the first log step",)
    return (f"the run had reached step {last:,}{f' of {wanted:,.0f}' if wanted else ''}",)


def _base(view: RunView) -> Iterator[Finding]:
    found = dependence(view)
    if found is not None:
        kind, what, remedies = found
        title = "the run is not whole" if kind == MISSING else "the run depends on files outside of its folder"
        yield finding_of(kind, title, (what,), remedies, "error" if kind == MISSING else "note")


def _health(view: RunView, name: str) -> Iterator[Finding]:
    patches = usage.patch_commands(view, name)
    for warning in view.warnings:
        title, _, rest = warning.message.partition(":")
        where = (f"noticed at step {warning.noticed}",) if warning.noticed else ()
        patch = (patches[warning.kind],) if warning.kind in patches else ()
        yield finding_of(warning.kind, title, ((rest.strip() or warning.message), *where), (*patch, *warning.remedies))


def _memory(view: RunView) -> Iterator[Finding]:
    evidence = _memory_evidence(view)
    if evidence:
        yield finding_of("memory", "memory was nearly full", evidence, AGAINST_FULL_MEMORY)


def _memory_evidence(view: RunView) -> tuple[str, ...]:
    peak = max((line.rss_mb for line in view.metrics if line.rss_mb is not None), default=None)
    there = view.machine.memory_gb
    if peak is None or not there or peak < NEARLY_ALL * there * 1024:
        return ()
    return (f"the process used {megabytes(peak)} of the machine's {there:.3g} GB",)


def _unlearned(view: RunView) -> Iterator[Finding]:
    """The training ended while the held-out loss still fell."""
    losses, training = view.held_out_losses, view.training
    if view.status != "finished" or training.early_stopped or len(losses) < 3:
        return
    before, last = losses[-2], losses[-1]
    if last.value < min(loss.value for loss in losses[:-1]) and last.value < 0.98 * before.value:
        steps = training.steps or last.step
        fall = f"from {before.value:.3f} to {last.value:.3f}"
        evidence = f"the held-out loss fell {fall} in the last {last.step - before.step} steps"
        yield finding_of(
            "too_short",
            "the training ended while the loss was still falling",
            (evidence,),
            (f"--max_steps {2 * steps}; early stopping ends the training when the loss stops falling",),
        )


def _poor(view: RunView) -> Iterator[Finding]:
    metric = view.headline
    difference = view.difference(metric) if metric else None
    if metric is None or difference is None or difference.low is None or difference.high is None:
        return
    info = metric_of(view, metric)
    gain_low = -difference.high if info.lower_is_better else difference.low
    commonest = commonest_share(view) if info.has_majority_baseline else None
    tuned = view.scores.get("tuned", {}).get(metric)
    beaten = commonest is not None and tuned is not None and tuned.value <= commonest
    cheap = view.evaluation.baselines.get(TFIDF, {}).get(metric)
    below = cheap is not None and tuned is not None and tuned.value <= cheap.value and not info.lower_is_better
    left = unbeaten(summary.beaten_baselines(view))
    if gain_low > 0 and not beaten and not below and not left:
        return
    evidence, remedies = [summary.sentence(view)], []
    if beaten and commonest is not None:
        evidence.append(f"always predicting the most frequent label reaches {info.figure(commonest)}")
    if below and cheap is not None:
        evidence.append(f"TF-IDF with logistic regression, trained in seconds, reaches {info.figure(cheap.value)}")
    if left:
        evidence.append(summary.to_beat(view))
    for said, remedy in _reasons(view, tuned.n if tuned else None):
        evidence.append(said)
        remedies.append(remedy)
    title = "the tuned model is not measurably better than its base"
    if gain_low > 0:
        title = "the tuned model is better than its base, and not better than a baseline that costs seconds"
    yield finding_of("poor_results", title, tuple(evidence), (*dict.fromkeys(remedies), *_USUAL))


def _forgotten(view: RunView) -> Iterator[Finding]:
    """The tuned model answers neutral prompts worse than its base, or differently."""
    record = view.evaluation.forgetting
    if record is None or record.judgment not in (CHANGED, LOST):
        return
    title, figures = SAID[record.judgment], sentence_of(record).partition(": ")[2]
    severity: Severity = "warning" if record.judgment == LOST else "note"
    title = title[:1].lower() + title[1:]
    yield finding_of("forgetting", title, (figures,), remedies(view), severity)


_USUAL = (
    "look at the rows as trained (--dry_run) and at the changed rows in report.html: format, spelling, labels",
    "try another learning rate (a third, or three times), or another schedule (--lr_scheduler_type linear)",
    "try another base model, made for this language and task",
)


def _reasons(view: RunView, held_out: int | None) -> Iterator[tuple[str, str]]:
    """What in the data may be why, and what to do about it."""
    rows = view.data.train_rows
    if rows is not None and rows < FEW_ROWS:
        yield f"it was trained on {rows:,.0f} rows", "add rows: several hundred varied ones, or paraphrases"
    if held_out is not None and held_out < FEW_HELD_OUT:
        yield f"{held_out:,} held-out rows are too few", "hold out more rows: --eval_share 0.2, or --eval_data_files"
    never = [label for label, recall in _recalls(view).items() if recall == 0]
    if never:
        yield (
            f"labels that the model never predicts correctly: {', '.join(never[:5])}",
            "add rows with these labels, or use --loss class-weighted",
        )
    counts = summary.label_counts(view)
    if len(counts) > 1 and counts[0][1] > UNEVEN * max(counts[-1][1], 1):
        (most, n), (least, k) = counts[0], counts[-1]
        what = f"the labels are unbalanced: {n:,} {summary.counted(view)} of {most}, {k:,} of {least}"
        yield what, "use --loss class-weighted, or add rows with the rare labels"
    for warning in summary.data_warnings(view)[:3]:
        yield warning, "clean the data: contradictory and truncated rows do not help training"
    best, losses = view.best, view.held_out_losses
    if best and len(losses) > 2 and best.step == losses[0].step:
        yield (
            f"the held-out loss was lowest at the first evaluation, step {best.step}",
            "use a lower learning rate and evaluate more often",
        )


def _recalls(view: RunView) -> dict[str, float]:
    tuned = view.evaluation.classes.get("tuned", {})
    return {name: record.recall for name, record in tuned.items() if record.support and record.recall is not None}


def _slow(view: RunView) -> Iterator[Finding]:
    seconds = view.training.seconds
    if seconds is None or seconds < LONG_SECONDS:
        return
    causes = list(_causes_of_slowness(view, seconds))
    if causes:
        rate = view.training.rows_per_second
        speed = f"{duration(seconds)} of training{f' at {rate:.3g} rows/s' if rate else ''}"
        evidence, remedies = zip(*causes, strict=True)
        yield finding_of("slow", "the training could be faster", (speed, *evidence), tuple(dict.fromkeys(remedies)))


def _causes_of_slowness(view: RunView, seconds: float) -> Iterator[tuple[str, str]]:
    training, settings = view.training, view.settings
    passed = settings.get("training_arguments")
    arguments: dict[str, Any] = passed if isinstance(passed, dict) else {}
    if training.engine == "plain":
        yield (
            f"padded batches: {training.engine_reason or 'requested by --engine plain'}",
            "--engine exact, if the model supports it",
        )
    if training.kernels_missing:
        yield (
            f"attention, norms and gates ran without compiled kernels: {training.kernels_missing}",
            "install g++ or clang++ (Linux, macOS) and unset GRAFT_KERNELS=0: steps take half the time",
        )
    share = _share_besides_steps(view, seconds)
    if share is not None and share > MUCH:
        yield (
            f"evaluations and checkpoints took {share:.0%} of the time",
            "use a larger --eval_steps, or --max_eval_samples 200",
        )
    used, cores = _processor(view), view.machine.cores
    if used is not None and cores and used < BUSY * 100 * cores:
        said = f"the process used {used:.0f} % of {100 * cores:.0f} % CPU"
        yield said, "close other programs; use --dataloader_num_workers 2 if rows are long"
    if str(arguments.get("gradient_checkpointing", "")).lower() == "true":
        yield "activations are recomputed (gradient_checkpointing)", "omit it if there is enough memory"
    if number(settings.get("lora_dropout")) and training.engine == "plain":
        yield f"dropout ({settings['lora_dropout']}) draws a random number for each activation", "--lora_dropout 0"
    if settings.get("use_dora"):
        yield "DoRA computes the norm of every tuned weight at each step", "--use_dora false"
    in_float32 = settings.get("precision") in (None, "float32") and not arguments.get("bf16")
    if in_float32 and training.engine not in ("int8", "bfloat16", "bf16"):
        yield (
            "the run computed in float32",
            "--engine int8 for LoRA (half the time or less on a processor with VNNI or AMX; evaluate to see"
            " the effect on quality), or --precision auto, which measures whether bfloat16 is faster here",
        )


def _share_besides_steps(view: RunView, seconds: float) -> float | None:
    """The share of the time that was no training step."""
    rate, steps = view.training.rows_per_second, view.training.steps
    rows = _rows_a_step(view)
    if not rate or not steps or not rows:
        return None
    return max(0.0, 1 - steps * rows / rate / seconds)


def _rows_a_step(view: RunView) -> float | None:
    batch = number(view.setting("per_device_train_batch_size"))
    parts = number(view.setting("gradient_accumulation_steps") or 1)
    return batch * parts if batch and parts else None


def _processor(view: RunView) -> float | None:
    used = [line.cpu_percent for line in view.metrics if line.cpu_percent]
    return median(used) if used else None
