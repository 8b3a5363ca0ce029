"""Everything that is decided before anything is written: what ``--dry_run`` shows and ``finetune`` does."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graft.data.example import Example
from graft.data.inference import Inference
from graft.data.prepare import Prepared, prepare
from graft.data.render import Renderer
from graft.data.tokens import Encoded, encode_all
from graft.errors import GraftError, Problems
from graft.hardware import memory_available_mb
from graft.methods import METHODS
from graft.models.base import Base, load_tokenizer, resolve
from graft.runs import RunFolder
from graft.settings import FinetuneSettings
from graft.training.plan import TrainingPlan, make_plan

MONITORED_ROWS = 256
"""Held-out rows the loss is watched on while training; the comparison afterwards takes all of them."""


@dataclass(frozen=True)
class RunPlan:
    settings: FinetuneSettings
    output: Path
    base: Base
    tokenizer: Any
    data: Prepared
    rows: list[Encoded]
    held_out: list[Encoded]
    training: TrainingPlan
    inferences: list[Inference] = field(default_factory=list)

    @property
    def trained_tokens(self) -> int:
        return sum(len(row.input_ids) - row.prompt_length for row in self.rows)

    @property
    def tokens(self) -> int:
        return sum(len(row.input_ids) for row in self.rows)

    @property
    def monitored(self) -> list[Encoded]:
        return self.held_out[:MONITORED_ROWS]


def plan_run(settings: FinetuneSettings, say: Callable[[str], None]) -> RunPlan:
    """Read the data, find the model, tokenise, and decide what was left open. Writes nothing to the run folder.

    Raises:
        InputError: with all that is wrong with the settings, the data and the model together.
    """
    base = _look(settings, say)
    method = METHODS.get(settings.method)
    tokenizer = load_tokenizer(base, settings.chat_template)
    data = prepare(settings, settings.seed, tokenizer)
    renderer = Renderer(tokenizer, settings.loss_on)
    length, inferences = _max_length(settings, data.train + data.eval, renderer, _config(base))
    problems = Problems()
    rows = encode_all(data.train, renderer, length, problems)
    held_out = encode_all(data.eval, renderer, length, problems)
    problems.raise_if_any()
    lengths = sorted(len(row.input_ids) for row in rows)
    training = make_plan(
        settings,
        method.learning_rate,
        len(rows),
        lengths[int(0.95 * (len(lengths) - 1))],
        _config(base),
        memory_available_mb(),
    )
    output = settings.output_path or _free_output(settings)
    if settings.output_path is None:
        inferences.append(Inference("output_path", str(output), "no --output_path was given"))
    said = [*data.inferences, *inferences, *training.inferences]
    return RunPlan(settings, output, base, tokenizer, data, rows, held_out, training, said)


def _require(settings: FinetuneSettings) -> None:
    problems = Problems()
    if settings.model_name_or_path is None:
        problems.add("no model is given", remedy="--model_name_or_path FOLDER, or smollm2-135m-instruct to begin with")
    if settings.data_name is None and settings.data_files is None:
        problems.add("no data is given", remedy="--data_files rows.jsonl, or --data_name with a file, folder or hub id")
    problems.raise_if_any()


def _look(settings: FinetuneSettings, say: Callable[[str], None]) -> Base:
    """The model; what is wrong with it, the method, the output folder and the data is said at once."""
    problems = Problems()
    base: Base | None = None
    with problems.collecting():
        METHODS.get(settings.method)
    if settings.output_path is not None:
        with problems.collecting():
            RunFolder(settings.output_path).check_free(settings.overwrite, settings.resume)
    with problems.collecting():
        _require(settings)
    if settings.data_name is not None or settings.data_files is not None:
        with problems.collecting():
            prepare(settings, settings.seed)
    if settings.model_name_or_path is not None:
        with problems.collecting():
            base = resolve(settings, say)
    problems.raise_if_any()
    assert base is not None
    return base


def _config(base: Base) -> dict[str, Any]:
    return {**base.config, **base.config.get("text_config", {})}


def _max_length(
    settings: FinetuneSettings, examples: list[Example], renderer: Renderer, config: dict[str, Any]
) -> tuple[int, list[Inference]]:
    if settings.max_length is not None:
        return settings.max_length, []
    limit = min(1024, int(config.get("max_position_embeddings") or config.get("n_positions") or 1024))
    rendered = (renderer.render(example) for example in examples)
    longest = max((len(r.prompt) + len(r.completion) for r in rendered), default=limit)
    if longest + 8 <= limit:  # in characters, which are never fewer than a byte-pair tokenizer's tokens
        return limit, []
    return limit, [Inference("max_length", limit, "the usual bound; longer rows are cut and counted")]


def _free_output(settings: FinetuneSettings) -> Path:
    """``runs/DATA-METHOD``, with a number behind it where that is taken."""
    source = (settings.data_files or (settings.data_name or "data",))[0]
    stem = Path(source).stem.replace("*", "all") or "data"
    folder = Path("runs") / f"{stem}-{settings.method}"
    number = 2
    while folder.exists():
        folder = folder.with_name(f"{stem}-{settings.method}-{number}")
        number += 1
    return folder


FULL_DISK = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def as_graft_error(error: Exception) -> GraftError:
    """The same failure in words a user can act on."""
    if isinstance(error, GraftError):
        return error
    text = str(error)
    if getattr(error, "errno", None) in FULL_DISK or any(f"os error {number}" in text for number in FULL_DISK):
        return GraftError("the disk is full; the last whole checkpoint is kept", remedy="free some room, then --resume")
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text:
        remedy = "--per_device_train_batch_size 1 --gradient_accumulation_steps 16 --gradient_checkpointing true"
        return GraftError("there was not enough memory", remedy=remedy)
    return GraftError(f"{type(error).__name__}: {text}", remedy="--debug shows where")
