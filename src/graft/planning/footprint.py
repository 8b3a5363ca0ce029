"""What a run holds in memory, counted by running its own step over tensors without content.

The engine, the method and the loss are those of the training, so the count follows whatever path really runs: whole
decoder layers, packed or padded batches, gradient checkpointing, int4 and int8 weights, autocast, other architectures.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from graft.config import FinetuneSettings
from graft.data.tokenize import TokenizedExample
from graft.engine import fused
from graft.engine.modules import takes_targets
from graft.methods.base import trainable_parameters
from graft.models.base import Base
from graft.planning.live_memory import LiveMemory, counted, without_content
from graft.planning.skeleton import bare_skeleton, is_loaded_as_stored, prepared_skeleton
from graft.tasks.base import Task
from graft.tasks.encoding import Encoding
from graft.training.arguments import passed
from graft.training.collate import make_collate, make_loss
from graft.training.engine_choice import EngineChoice, engine_for
from graft.training.losses.choose import ChosenLoss
from graft.training.objective import Objective

Rows = Sequence[TokenizedExample]

STATE_BYTES = {
    "adamw": 8,
    "adam": 8,
    "lion": 4,
    "sgd": 0,
    "adafactor": 0,
    "rmsprop": 4,
    "adagrad": 4,
    "stable_adamw": 8,
}
"""Bytes of optimizer states a trained parameter, by the beginning of ``--optim``: 8 for others, 2 in 8 bits."""


@dataclass(frozen=True)
class Footprint:
    """Bytes and parameters, besides what Python and its libraries take.

    Attributes:
        base: Of the base's weights in float32, each tied weight once.
        loading: Of the weights at most while they are read and prepared, mapped files not counted.
        weights: Of the weights in training: base or its int4 form, and what the method adds.
        trained: The number of trained parameters.
        parameters: The number of all.
        copies: Of the frozen weights' copies in the engine's format (int8, bfloat16).
        step: The peak of a step beyond ``weights``: copies, activations, gradients, chunks of logits, workspaces.
        evaluation: The same of a held-out batch.
        whole_layers: Whether kernels compute whole decoder layers, which leaves few gaps between tensors.
        workspaces: Of ``step``, what kernels take for themselves.
        targets_last: Whether the last layer computes what follows attention for the targets alone.
        engine: The engine that runs, and why batches are padded.
    """

    base: int
    loading: int
    weights: int
    trained: int
    parameters: int
    copies: int
    step: int
    evaluation: int
    whole_layers: bool
    workspaces: int
    targets_last: bool
    engine: EngineChoice


@dataclass(frozen=True)
class Subject:
    """Whose memory is counted.

    Attributes:
        base: The model folder; its weights are not read.
        task: Selects the model's class, batches and outputs.
        encoding: The tokenizer and the labels.
        settings: Method, engine and the arguments of the Trainer.
        precision: The number format of autocast: ``float32`` for none.
        loss: What is minimized; None for the next token's cross-entropy.
    """

    base: Base
    task: Task
    encoding: Encoding
    settings: FinetuneSettings
    precision: str = "float32"
    loss: ChosenLoss | None = None


def footprint(subject: Subject, batch: Rows, held_out: Rows = ()) -> Footprint:
    """Count a step over the rows of ``batch``, and the loss of the rows ``held_out``. Nothing is loaded or computed.

    Raises:
        InputError: If the method or the engine does not fit the model.
        Exception: Whatever code raises that cannot run without content.
    """
    made = _Counted(subject)
    model = made.model
    trained, parameters = trainable_parameters(model)
    step = made.peak(batch, training=True)
    whole_layers, workspaces = made.whole_layers, made.workspaces
    return Footprint(
        base=made.base,
        loading=made.loading,
        weights=made.weights,
        trained=trained,
        parameters=parameters,
        copies=made.copies,
        step=step,
        evaluation=made.peak(held_out, training=False) if held_out else 0,
        whole_layers=whole_layers,
        workspaces=workspaces,
        targets_last=made.targets_last,
        engine=made.engine,
    )


def state_bytes(settings: FinetuneSettings) -> float:
    """Bytes of the optimizer's states for each trained parameter."""
    given = passed(settings).get("optim", "adamw")
    name = str(getattr(given, "value", given))
    if "8bit" in name:
        return 2
    return next((size for start, size in STATE_BYTES.items() if name.startswith(start)), 8)


class _Counted:
    """A prepared model without content, and the memory that batches take in it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        settings, objective = subject.settings, subject.task.objective(subject.encoding.label_space)
        model = bare_skeleton(subject.base, subject.task, subject.encoding)
        self.base = LiveMemory().know(_tensors(model))
        self.model = prepared_skeleton(model, settings)
        if passed(settings).get("gradient_checkpointing") or passed(settings).get("activation_checkpointing"):
            _checkpoint(self.model)
        without_content(self.model)
        self.weights = LiveMemory().know(_tensors(self.model))
        self.loading = max(self.base, self.weights)
        if self.weights < self.base:  # it is quantized: layer by layer of what lies in the files, or of all in float32
            kept = is_loaded_as_stored(subject.base, subject.task, subject.encoding)
            self.loading = self.weights if kept else self.base + self.weights
        self.engine = engine_for(settings.engine, subject.precision, self.model, _own_loss(subject), objective)
        noise = bool(passed(settings).get("neftune_noise_alpha"))
        pad = subject.encoding.tokenizer.pad_token_id
        self.collate = make_collate(self.engine.is_packed, pad, objective, not noise)
        self.loss = loss_of(subject, self.engine, objective)
        self.copies = self.workspaces = 0
        self.whole_layers = self.targets_last = False
        self.dtype = getattr(torch, subject.precision)

    def peak(self, rows: Rows, training: bool) -> int:
        """The most bytes beyond the weights that ``rows`` take; with ``training``, with their gradients."""
        memory, model = LiveMemory(), self.model
        memory.know(_tensors(model))
        model.train(training)
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.enter_context(torch.set_grad_enabled(training))
            called = stack.enter_context(counted(memory))
            if self.engine.is_packed:
                stack.enter_context(fused(model, self.engine.name))
                self.copies, self.targets_last = memory.live, takes_targets(model)
            self._step(rows, training)
        self.whole_layers, self.workspaces = "decoder_layer_forward" in called, sum(called.values())
        model.zero_grad()
        gc.collect()
        return memory.peak

    def _step(self, rows: Rows, training: bool) -> None:
        batch = {name: value for name, value in self.collate(rows).items() if name not in {"rows", "tokens"}}
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            loss = self.loss(self.model, batch, 1)
        if training:
            torch.autograd.backward(loss)


def _own_loss(subject: Subject) -> ChosenLoss | None:
    """Its loss; None for that of a teacher, whose own memory is not counted."""
    return subject.loss if subject.loss is not None and subject.loss.teacher is None else None


def loss_of(subject: Subject, engine: EngineChoice, objective: Objective | None) -> Any:
    """Model, batch and number of targets -> the loss, as the training calls it."""
    return make_loss(engine.is_packed, _own_loss(subject), torch.device("cpu"), objective)


def _checkpoint(model: Any) -> None:
    options = {"use_reentrant": False, "preserve_rng_state": False}  # there are no random numbers to preserve
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)


def _tensors(model: Any) -> list[torch.Tensor]:
    return [*model.parameters(), *model.buffers()]
