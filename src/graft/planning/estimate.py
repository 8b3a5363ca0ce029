"""The memory and the time that a run will take, estimated before any weight is loaded."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from graft.data.token_table import row_lengths
from graft.errors import InputError
from graft.hardware.machine import memory_mb
from graft.methods import METHODS
from graft.models.shape import ModelShape
from graft.planning.batches import held_out_batches, size_of, training_batches
from graft.planning.footprint import Footprint, Subject, footprint, state_bytes
from graft.planning.operations import Path, operations
from graft.planning.plan import RunPlan
from graft.planning.speed import BUSY, Seconds, Speed, measured_speed, path_of
from graft.training.engine_choice import EngineChoice
from graft.training.schedule import token_megabytes

log = logging.getLogger(__name__)
SAMPLED = 200
"""Held-out rows whose sizes stand for all."""

TRAINING_LIBRARIES_MB = 30
"""What a training imports and makes besides what a plan has in memory already: accelerate, the Trainer, checkpoints."""
WHOLE_LAYER_GAPS, PLAIN_GAPS, GAPS, UNPACKING_GAPS = 1.1, 1.2, 1.5, 2.0
"""The heap's size over that of a step's tensors. Small pieces lie between these, and gaps are not always filled: few
where whole layers are computed; also few where padded batches train all weights, whose large tensors are mapped one by
one; more where an adapter's small tensors lie between, or the heap keeps what is freed; most where weights are unpacked
into matrices that come and go. Measured on SmolLM2, and the second on MiniLM and a T5, on Linux with glibc 2.36."""
CACHED_TOKENS, SCORED_TARGETS = 8192, 1024
"""The most tokens in the cache of a generation, and the most targets that are scored at once."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Peaks of the resident memory in MB, Python and its libraries included.

    Attributes:
        loading: While the weights are read, converted and prepared.
        training: In a step: weights, copies, activations, gradients, and the optimizer's states.
        comparison: While base and tuned model answer the held-out rows; None without a comparison.
    """

    loading: int
    training: int
    comparison: int | None

    @property
    def peak(self) -> int:
        """The most of the whole run."""
        return max(self.loading, self.training, self.comparison or 0)


def subject_of(plan: RunPlan) -> Subject:
    """Whose memory and time ``plan`` takes."""
    return Subject(plan.base, plan.task, plan.encoding, plan.settings, plan.training.precision, plan.loss)


def plan_footprint(plan: RunPlan) -> Footprint:
    """The footprint of the largest batch of ``plan``."""
    packed = plan.objective is None and plan.settings.engine != "plain"
    batch = training_batches(plan, packed).largest
    held_out = held_out_batches(plan, packed).largest if plan.monitored else ()
    return footprint(subject_of(plan), batch, held_out)


def memory_of(plan: RunPlan, found: Footprint, runtime_mb: float | None = None) -> MemoryEstimate:
    """The peaks of the phases.

    Args:
        plan: The run.
        found: What ``plan_footprint`` counted.
        runtime_mb: What Python, the libraries and the data take; measured of this process when None.
    """
    runtime = (memory_mb().used_by_process if runtime_mb is None else runtime_mb) + TRAINING_LIBRARIES_MB
    states = state_bytes(plan.settings) * found.trained
    accumulated = 4 * found.trained if plan.training.accumulation > 1 else 0
    gaps = _gaps(found)
    step = states + accumulated + found.copies + gaps * (found.step - found.copies)
    training = found.weights + max(step, states + gaps * found.evaluation)
    loading = found.loading + _in_files(plan)
    comparison = _comparison(plan, found) if plan.settings.evaluate and plan.data.eval else None
    parts = (None if part is None else round(runtime + part / 2**20) for part in (loading, training, comparison))
    return MemoryEstimate(*parts)  # type: ignore[arg-type]


def _gaps(found: Footprint) -> float:
    if found.weights < found.base:  # it is in int4
        return UNPACKING_GAPS
    if found.whole_layers:
        return WHOLE_LAYER_GAPS
    return GAPS if found.engine.is_packed or found.trained < found.parameters else PLAIN_GAPS


def _in_files(plan: RunPlan) -> int:
    """Bytes of weight files that are mapped while they are converted to float32; files in float32 are used in place."""
    files = (file for pattern in ("*.safetensors", "pytorch_model*.bin") for file in plan.base.path.glob(pattern))
    size = sum(file.stat().st_size for file in files)
    shape = ModelShape.of(plan.base.text_config)
    return size if size < 3 * shape.parameters else 0


def _comparison(plan: RunPlan, found: Footprint) -> int:
    """Bytes while held-out rows are answered and scored: the cache of a generation, or the logits that are scored."""
    weights = found.weights + found.copies + (found.base if METHODS.get(plan.settings.method).trains_base else 0)
    if plan.objective is not None:
        return weights + found.evaluation
    shape = ModelShape.of(plan.base.text_config)
    rows = list(plan.held_out[:64])
    longest = max(len(row.input_ids) for row in rows)
    targets = sum(len(row.input_ids) - max(1, row.prompt_length) for row in plan.held_out[:SCORED_TARGETS])
    cache = min(CACHED_TOKENS, len(rows) * longest) * shape.cache_numbers * 4
    scored = 2 * min(SCORED_TARGETS, targets) * shape.vocabulary * 4
    return weights + max(cache, scored)


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds of the phases, as fast as the machine was when it was measured.

    Attributes:
        step: Of an optimizer step.
        training: Of all steps.
        held_out: Of the evaluations between them.
        comparison: Of base and tuned model answering the held-out rows.
        busy: The share of the processor that other programs used during the measurement.
    """

    step: Seconds
    training: Seconds
    held_out: Seconds
    comparison: Seconds
    busy: float

    @property
    def minutes(self) -> float:
        """Of training, with its evaluations."""
        return (self.training.wall + self.held_out.wall) / 60


@dataclass(frozen=True)
class RunEstimate:
    """What a run takes.

    Attributes:
        memory_mb: The peak of the memory in MB.
        minutes: Those of training and its evaluations; those of the comparison are not in it.
        comparison_minutes: Those of the comparison afterwards.
        trained: The number of trained parameters.
        parameters: The number of all parameters.
        engine: The engine that runs.
        padded_because: Why batches are padded; None where they are packed, or padding was asked for.
        busy: What to say of a measurement that other programs disturbed; None for none.
        memory: The peaks of the phases.
    """

    memory_mb: int
    minutes: float
    comparison_minutes: float
    trained: int
    parameters: int
    engine: str
    padded_because: str | None
    busy: str | None
    memory: MemoryEstimate


def estimate(plan: RunPlan, again: bool = False) -> RunEstimate:
    """Estimate memory and time, by a count over tensors without content and a measurement of this machine.

    Args:
        plan: The run.
        again: Whether to measure although there is a measurement.
    """
    runtime = memory_mb().used_by_process
    found = counted_or_guessed(plan)
    memory, spent = memory_of(plan, found, runtime), time_of(plan, found, again)
    return RunEstimate(
        memory_mb=memory.peak,
        minutes=round(spent.minutes, 1),
        comparison_minutes=round(spent.comparison.wall / 60, 1),
        trained=found.trained,
        parameters=found.parameters,
        engine=found.engine.name,
        padded_because=found.engine.padded_because,
        busy=busy_words(spent.busy),
        memory=memory,
    )


def busy_words(busy: float) -> str | None:
    """What to say of a measurement while other programs used the share ``busy`` of the processor."""
    if busy <= BUSY:
        return None
    return f"measured while other programs used {busy:.0%} of the processor: a quiet machine is faster"


def counted_or_guessed(plan: RunPlan) -> Footprint:
    """The footprint, counted; guessed from the sizes in the configuration where the model's code needs its weights."""
    try:
        return plan_footprint(plan)
    except InputError:
        raise
    except Exception as error:  # of any model's code, an extension's method, or a user's loss
        log.info("the memory of %s is guessed from its sizes: %s", plan.base.name, error)
        return _guessed(plan)


def _guessed(plan: RunPlan) -> Footprint:
    shape, whole = ModelShape.of(plan.base.text_config), METHODS.get(plan.settings.method).trains_base
    weights, longest = 4 * shape.parameters, int(row_lengths(plan.rows).max())
    step = plan.training.batch_size * longest * token_megabytes(plan.base.text_config) * 2**20
    return Footprint(
        base=weights,
        loading=weights,
        weights=weights,
        trained=shape.parameters if whole else shape.parameters // 50,
        parameters=shape.parameters,
        copies=0,
        step=int(step + 4 * shape.parameters * whole),
        evaluation=0,
        whole_layers=False,
        workspaces=0,
        targets_last=False,
        engine=EngineChoice("plain"),
    )


def time_of(plan: RunPlan, found: Footprint, again: bool = False) -> TimeEstimate:
    """The seconds that ``plan`` takes.

    Args:
        plan: The run.
        found: Its footprint.
        again: Whether to measure although there is a measurement.
    """
    subject, packed = subject_of(plan), found.engine.is_packed
    batches = training_batches(plan, packed)
    speed = measured_speed(subject, found, batches.usual, again)
    shape, path = ModelShape.of(plan.base.text_config), path_of(subject, found)
    training = plan.training
    batch = speed.training.times(operations(shape, batches.mean, path))
    step = batch.times(training.accumulation).plus(speed.updating.times(found.trained))
    held_out = _nothing()
    if plan.monitored:
        held = held_out_batches(plan, packed)
        once = speed.reading.times(operations(shape, held.mean, path, training=False) * held.count)
        held_out = once.times(math.ceil(training.steps / training.eval_steps))
    return TimeEstimate(step, step.times(training.steps), held_out, _comparing(plan, speed, shape, path), speed.busy)


def _comparing(plan: RunPlan, speed: Speed, shape: ModelShape, path: Path) -> Seconds:
    """Both models read the held-out rows; without a head they score the labels and write answers, too."""
    if not (plan.settings.evaluate and plan.data.eval):
        return _nothing()
    rows = plan.held_out[:SAMPLED]
    scale = 2 * len(plan.held_out) / len(rows)
    one_by_one = [size_of([row], path.packed) for row in rows]
    reading = sum(operations(shape, size, path, training=False) for size in one_by_one)
    if speed.writing is None:
        return speed.reading.times(scale * reading)
    labels = len(plan.data.mapping.labels or ())
    answer = sum(size.targets for size in one_by_one)
    scored = labels * answer / max(1.0, sum(size.tokens for size in one_by_one)) * reading
    weights = shape.layers * shape.layer + shape.hidden * shape.vocabulary
    written = speed.writing.times(scale * 2 * weights * answer * (0 if labels else 1))
    return speed.reading.times(scale * (reading + scored)).plus(written)


def _nothing() -> Seconds:
    return Seconds(0.0, 0.0)
