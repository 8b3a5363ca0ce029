"""What to do next with a run, each finding with its evidence: read from the run folder alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from graft.evaluation.metrics import metric_info
from graft.report import format as words
from graft.report import summary as facts
from graft.report import usage
from graft.report.confusion import commonest_share
from graft.runs.health import AGAINST_FULL_MEMORY
from graft.runs.view import RunView, number

FEW_ROWS = 200
FEW_HELD_OUT = 100
LONG_SECONDS = 120.0
"""Shorter trainings need no advice about speed."""
NEARLY_ALL = 0.85
MUCH = 0.25
"""A share of the time that is worth a word."""
BUSY = 0.6
UNEVEN = 10.0


@dataclass(frozen=True)
class Finding:
    """``kind`` names it for programs; ``evidence`` are figures of the run; ``remedies`` what to set or do."""

    kind: str
    title: str
    evidence: tuple[str, ...]
    remedies: tuple[str, ...]


def diagnose(view: RunView) -> list[Finding]:
    """Return everything that was found, the gravest first."""
    checks: tuple[Callable[[RunView], Iterator[Finding]], ...] = (_signs, _memory, _unlearned, _poor, _slow)
    found = list(_ending(view))
    for check in checks:
        found += [finding for finding in check(view) if finding.kind not in {f.kind for f in found}]
    return found


def _ending(view: RunView) -> Iterator[Finding]:
    error = str(view.manifest.get("error") or "").strip()
    resume = usage.resume_command(view, view.path.as_posix())
    if view.killed:
        full = _memory_evidence(view)
        yield Finding(
            "killed",
            "the process is gone: it was killed, or the machine stopped",
            (*_progress(view), *full),
            (resume, *(AGAINST_FULL_MEMORY if full else ("the system log says whether it ran out of memory",))),
        )
    elif view.status == "interrupted":
        yield Finding("interrupted", "the run was interrupted", _progress(view), (resume,))
    if view.status == "failed":
        what, _, remedy = error.partition("\n")
        kind = next((kind for words_, kind in _FAILURES if words_ in what), "failed")
        own = (remedy.strip(),) if remedy.strip() else ()
        more = AGAINST_FULL_MEMORY if kind == "memory" else ()
        yield Finding(kind, f"the run failed: {what}", _progress(view), own + more or ("--debug shows where",))


_FAILURES = (("not enough memory", "memory"), ("disk", "disk"), ("diverged", "divergence"), ("became", "divergence"))


def _progress(view: RunView) -> tuple[str, ...]:
    last = max((loss.step for loss in (*view.training_losses, *view.held_out_losses)), default=None)
    wanted = number(view.section("settings").get("max_steps"))
    if last is None:
        return ("it had not come to its first log",)
    return (f"it had come to step {last:,}{f' of {wanted:,.0f}' if wanted else ''}",)


def _signs(view: RunView) -> Iterator[Finding]:
    patches = usage.patch_commands(view, view.path.as_posix())
    for sign in view.signs:
        title, _, rest = sign.what.partition(":")
        where = (f"noticed at step {sign.noticed}",) if sign.noticed else ()
        patch = (patches[sign.kind],) if sign.kind in patches else ()
        yield Finding(sign.kind, title, ((rest.strip() or sign.what), *where), (*patch, *sign.remedies))


def _memory(view: RunView) -> Iterator[Finding]:
    evidence = _memory_evidence(view)
    if evidence:
        yield Finding("memory", "the memory was nearly full", evidence, AGAINST_FULL_MEMORY)


def _memory_evidence(view: RunView) -> tuple[str, ...]:
    peak = max((m for line in view.metrics if (m := number(line.get("rss_mb"))) is not None), default=None)
    there = number(view.section("machine").get("memory_gb"))
    if peak is None or not there or peak < NEARLY_ALL * there * 1024:
        return ()
    return (f"it held {words.megabytes(peak)} of the machine's {there:.3g} GB",)


def _unlearned(view: RunView) -> Iterator[Finding]:
    """Stopped while it still got better."""
    losses, training = view.held_out_losses, view.section("training")
    if view.status != "finished" or training.get("early_stopped") or len(losses) < 3:
        return
    before, last = losses[-2], losses[-1]
    if last.value < min(loss.value for loss in losses[:-1]) and last.value < 0.98 * before.value:
        steps = int(number(training.get("steps")) or last.step)
        fall = f"from {before.value:.3f} to {last.value:.3f}"
        evidence = f"the held-out loss still fell {fall} in the last {last.step - before.step} steps"
        yield Finding(
            "too_short",
            "the training ended while it was still getting better",
            (evidence,),
            (f"--max_steps {2 * steps}; early stopping ends it when nothing is gained any more",),
        )


def _poor(view: RunView) -> Iterator[Finding]:
    metric = view.headline
    difference = view.difference(metric) if metric else None
    if metric is None or difference is None or difference.low is None or difference.high is None:
        return
    info = metric_info(view.evaluation, metric)
    gain_low = -difference.high if info.lower_is_better else difference.low
    commonest = commonest_share(view) if info.has_majority_baseline else None
    tuned = view.scores.get("tuned", {}).get(metric)
    beaten = commonest is not None and tuned is not None and tuned.value <= commonest
    if gain_low > 0 and not beaten:
        return
    evidence, remedies = [facts.sentence(view)], []
    if beaten and commonest is not None:
        evidence.append(f"always giving the commonest answer reaches {info.figure(commonest)}")
    for said, remedy in _reasons(view, tuned.n if tuned else None):
        evidence.append(said)
        remedies.append(remedy)
    title = "the tuned model is not measurably better than its base"
    yield Finding("poor_results", title, tuple(evidence), (*dict.fromkeys(remedies), *_USUAL))


_USUAL = (
    "look at rows as trained (--dry_run) and at the changed rows in report.html: form, spelling, labels",
    "another learning rate (a third, three times), another schedule (--lr_scheduler_type linear)",
    "another base model: one that was made for this language and task",
)


def _reasons(view: RunView, held_out: int | None) -> Iterator[tuple[str, str]]:
    """What in the data may be why, and what to do about it."""
    rows = number(view.section("data").get("train_rows"))
    if rows is not None and rows < FEW_ROWS:
        yield f"it was trained on {rows:,.0f} rows", "more rows: some hundred, varied ones, or augmented by paraphrase"
    if held_out is not None and held_out < FEW_HELD_OUT:
        yield f"{held_out:,} held-out rows are too few to tell", "hold out more: --eval_share 0.2, or a file of its own"
    never = [label for label, recall in _recalls(view).items() if recall == 0]
    if never:
        yield f"never answered rightly: {', '.join(never[:5])}", "rows of these labels, or --loss class-weighted"
    counts = facts.label_counts(view)
    if len(counts) > 1 and counts[0][1] > UNEVEN * max(counts[-1][1], 1):
        (most, n), (least, k) = counts[0], counts[-1]
        what = f"labels are uneven: {n:,} {facts.counted(view)} of {most}, {k:,} of {least}"
        yield what, "--loss class-weighted, or more of the rare"
    for warning in facts.data_warnings(view)[:3]:
        yield warning, "clean the data: what is contradictory or cut off teaches nothing"
    best, losses = view.best, view.held_out_losses
    if best and len(losses) > 2 and best.step == losses[0].step:
        yield (
            f"the held-out loss was lowest at the first evaluation, step {best.step}",
            "a lower learning rate, and evaluations closer together",
        )


def _recalls(view: RunView) -> dict[str, float]:
    classes: Any = view.evaluation.get("classes")
    tuned = classes.get("tuned") if isinstance(classes, dict) else None
    by_label = tuned if isinstance(tuned, dict) else {}
    found = {str(label): entry for label, entry in by_label.items() if isinstance(entry, dict) and entry.get("support")}
    return {label: value for label, entry in found.items() if (value := number(entry.get("recall"))) is not None}


def _slow(view: RunView) -> Iterator[Finding]:
    training = view.section("training")
    seconds = number(training.get("seconds"))
    if seconds is None or seconds < LONG_SECONDS:
        return
    causes = list(_causes_of_slowness(view, seconds))
    if causes:
        rate = number(training.get("rows_per_second"))
        speed = f"{words.duration(seconds)} of training{f' at {rate:.3g} rows/s' if rate else ''}"
        evidence, remedies = zip(*causes, strict=True)
        yield Finding("slow", "the training could be quicker", (speed, *evidence), tuple(dict.fromkeys(remedies)))


def _causes_of_slowness(view: RunView, seconds: float) -> Iterator[tuple[str, str]]:
    training, settings = view.section("training"), view.section("settings")
    passed = settings.get("training_arguments")
    arguments: dict[str, Any] = passed if isinstance(passed, dict) else {}
    if training.get("engine") == "plain":
        yield (
            f"padded batches: {training.get('engine_reason') or 'they were asked for'}",
            "--engine exact, where it can",
        )
    if training.get("kernels_missing"):
        yield (
            f"attention, norms and gates by PyTorch's operations: {training['kernels_missing']}",
            "with g++ or clang++ (Linux, macOS) and no GRAFT_KERNELS=0 a part of graft is compiled: half the time",
        )
    share = _share_besides_steps(view, seconds)
    if share is not None and share > MUCH:
        yield f"evaluations and checkpoints took {share:.0%} of it", "a larger --eval_steps, or --max_eval_samples 200"
    used, cores = _processor(view), number(view.section("machine").get("cores"))
    if used is not None and cores and used < BUSY * 100 * cores:
        said = f"the processor was used to {used:.0f} % of {100 * cores:.0f} %"
        yield said, "stop what else is running here; --dataloader_num_workers 2 where rows are long"
    if str(arguments.get("gradient_checkpointing", "")).lower() == "true":
        yield "activations are computed twice (gradient_checkpointing)", "without it, where the memory is large enough"
    if number(settings.get("lora_dropout")) and training.get("engine") == "plain":
        yield f"dropout ({settings['lora_dropout']}) draws a number for each activation", "--lora_dropout 0"
    if settings.get("use_dora"):
        yield "DoRA computes the norm of every tuned weight in each step", "--use_dora false"
    in_float32 = settings.get("precision") in (None, "float32") and not arguments.get("bf16")
    if in_float32 and training.get("engine") not in ("int8", "bf16"):
        yield (
            "it was computed in float32",
            "--engine int8 for LoRA (half the time or less where the processor has VNNI or AMX; an evaluation says"
            " what it costs), or --precision auto, which measures whether bfloat16 is quicker here",
        )


def _share_besides_steps(view: RunView, seconds: float) -> float | None:
    """The share of the time that was no training step."""
    training = view.section("training")
    rate, steps = number(training.get("rows_per_second")), number(training.get("steps"))
    rows = _rows_a_step(view)
    if not rate or not steps or not rows:
        return None
    return max(0.0, 1 - steps * rows / rate / seconds)


def _rows_a_step(view: RunView) -> float | None:
    inferences = view.manifest.get("inferred_settings") or ()
    inferred = {i.get("name"): i.get("value") for i in inferences if isinstance(i, dict)}
    settings = view.section("settings")
    batch = number(inferred.get("per_device_train_batch_size") or settings.get("per_device_train_batch_size"))
    parts = number(inferred.get("gradient_accumulation_steps") or settings.get("gradient_accumulation_steps") or 1)
    return batch * parts if batch and parts else None


def _processor(view: RunView) -> float | None:
    used = [p for line in view.metrics if (p := number(line.get("cpu_percent")))]
    return median(used) if used else None
