"""How fast this machine trains, measured by the code that will: two layers of the model's own sizes, with random
weights, the run's method, engine and rows. Kept in the user's cache for this processor, these sizes and this path.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from graft.config import config_of
from graft.data.tokenize import TokenizedExample
from graft.documents import read_object
from graft.engine import fused, generate
from graft.engine.benchmark import machine_key
from graft.errors import GraftError, InputError
from graft.files import write_whole
from graft.hardware.machine import Load
from graft.methods import METHODS
from graft.models.base import kind_of
from graft.models.cache import cache_folder
from graft.models.load import quiet
from graft.models.shape import ModelShape
from graft.ownership import is_private, private_folder
from graft.planning.batches import size_of
from graft.planning.footprint import Footprint, Subject, loss_of
from graft.planning.operations import Path, operations
from graft.planning.skeleton import auto_class, configuration
from graft.tasks.load import new_heads
from graft.training.collate import make_collate

LAYERS, VOCABULARY = 2, 2048
LARGEST_LAYER = 70_000_000
"""Weights of a layer; of larger ones the MLP is measured in part."""
MOST_TOKENS, ROUNDS, ENOUGH_SECONDS = 800, 3, 6.0
WRITTEN_ROWS, WRITTEN_TOKENS = 16, 6
OPTIMIZED = 4_000_000
BUSY = 0.2
"""The share of the processor that others may use before a measurement is called busy."""
_LAYER_COUNTS = ("num_hidden_layers", "n_layer", "num_layers", "num_decoder_layers", "encoder_layers", "decoder_layers")


@dataclass(frozen=True)
class Seconds:
    """Of the clock, and of this process on the processor."""

    wall: float
    cpu: float

    def times(self, factor: float) -> Seconds:
        """So many of them."""
        return Seconds(self.wall * factor, self.cpu * factor)

    def plus(self, other: Seconds) -> Seconds:
        """Both, one after the other."""
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)


@dataclass(frozen=True)
class Speed:
    """Seconds a unit of work.

    Attributes:
        training: An operation of a forward and a backward pass.
        reading: An operation of a forward pass without gradients.
        writing: An operation of a pass over one token of each of 16 rows; None for what does not write.
        updating: The optimizer's for a trained parameter.
        busy: The share of the processor that other programs used meanwhile.
    """

    training: Seconds
    reading: Seconds
    writing: Seconds | None
    updating: Seconds
    busy: float


def measured_speed(subject: Subject, found: Footprint, rows: Sequence[TokenizedExample], again: bool = False) -> Speed:
    """The speed of ``subject`` over ``rows``, from the cache unless ``again``; it takes some seconds.

    Raises:
        Exception: Whatever code raises that cannot make a small model of this architecture.
    """
    rows = _some(rows)
    file = cache_folder() / "benchmarks" / f"steps-{_key(subject, found, rows)}.json"
    known = None if again else _cached(file)
    if known is not None:
        return known
    speed = _measure(subject, found, rows)
    with suppress(OSError, GraftError):  # without a cache it is measured again next time
        write_whole(private_folder(file.parent) / file.name, json.dumps(asdict(speed)))
    return speed


def _cached(file: Any) -> Speed | None:
    try:
        return TypeAdapter(Speed).validate_python(read_object(file)) if is_private(file) else None
    except (InputError, ValidationError):
        return None


def _key(subject: Subject, found: Footprint, rows: Sequence[TokenizedExample]) -> str:
    config = subject.base.text_config
    sizes = {name: value for name, value in config.items() if isinstance(value, (int, str, bool))}
    method = config_of(subject.settings, METHODS.get(subject.settings.method).Config).model_dump(mode="json")
    tokens = int(size_of(rows, found.engine.is_packed).tokens).bit_length()
    parts = [sizes, subject.settings.method, method, subject.precision, found.engine.name, tokens, machine_key()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _some(rows: Sequence[TokenizedExample]) -> list[TokenizedExample]:
    """As many rows as have ``MOST_TOKENS``, their tokens within the small vocabulary."""
    chosen: list[TokenizedExample] = []
    for row in rows:
        if chosen and sum(len(r.input_ids) for r in chosen) + len(row.input_ids) > MOST_TOKENS:
            break
        ids = [token % (VOCABULARY - 16) + 8 for token in row.input_ids]
        chosen.append(replace(row, input_ids=ids))
    return chosen


def _measure(subject: Subject, found: Footprint, rows: list[TokenizedExample]) -> Speed:
    objective = subject.task.objective(subject.encoding.label_space)
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        model, shape = _small_model(subject)
    collate = make_collate(found.engine.is_packed, 0, objective)
    batch = {name: value for name, value in collate(rows).items() if name not in {"rows", "tokens"}}
    loss = loss_of(subject, found.engine, objective)
    size, path = size_of(rows, found.engine.is_packed), path_of(subject, found)
    dtype = getattr(torch, subject.precision)

    def forward() -> Any:
        """The loss of the batch."""
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return loss(model, batch, 1)

    def step() -> None:
        """A forward and a backward pass."""
        torch.autograd.backward(forward())
        model.zero_grad()

    load = Load()
    with _engine(model, found):
        model.train()
        training = _best(step).times(1 / operations(shape, size, path))
        with torch.no_grad():
            reading = _best(forward).times(1 / operations(shape, size, path, training=False))
    writing = None
    if objective is None and kind_of(subject.base.config) == "causal":
        writing = _writing(model, shape, rows)
    return Speed(training, reading, writing, _updating(), load.of_others())


@contextmanager
def _engine(model: Any, found: Footprint) -> Iterator[None]:
    with ExitStack() as stack:
        if found.engine.is_packed:
            stack.enter_context(fused(model, found.engine.name))
        yield


def path_of(subject: Subject, found: Footprint) -> Path:
    """What a step of ``subject`` computes."""
    headless = subject.task.objective(subject.encoding.label_space) is not None
    trains = METHODS.get(subject.settings.method).trains_base
    return Path(trains, found.engine.is_packed, found.targets_last, head=not headless)


def _small_model(subject: Subject) -> tuple[Any, ModelShape]:
    """A random model of two layers, prepared by the method, and its sizes."""
    config = configuration(subject.base, subject.task, subject.encoding)
    for name in _LAYER_COUNTS:
        if getattr(config, name, None):
            setattr(config, name, LAYERS)
    if getattr(config, "layer_types", None):
        config.layer_types = list(config.layer_types)[:LAYERS]
    config.vocab_size = VOCABULARY
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"):
        if getattr(config, name, None) is not None:
            setattr(config, name, 0)
    while ModelShape.of(config.to_dict()).layer > LARGEST_LAYER and getattr(config, "intermediate_size", 0) > 512:
        config.intermediate_size //= 2
    headed = subject.task.objective(subject.encoding.label_space) is not None
    trusted = subject.base.trust_remote_code
    model = auto_class(subject.task, headed).from_config(config, trust_remote_code=trusted, dtype=torch.float32)
    method = METHODS.get(subject.settings.method)
    options = config_of(subject.settings, method.Config)
    return method.prepare(model, options, 0, new_heads(model)), ModelShape.of(config.to_dict())


def _best(work: Callable[[], Any]) -> Seconds:
    """The fastest of some rounds after a first one, which compiles and allocates."""
    work()
    began = time.perf_counter()
    rounds: list[Seconds] = []
    while len(rounds) < ROUNDS and (not rounds or time.perf_counter() - began < ENOUGH_SECONDS):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        rounds.append(Seconds(time.perf_counter() - wall, time.process_time() - cpu))
    return Seconds(min(one.wall for one in rounds), min(one.cpu for one in rounds))


def _writing(model: Any, shape: ModelShape, rows: Sequence[TokenizedExample]) -> Seconds:
    """Of an operation in which each of some rows writes a token, without the pass over their prompts."""
    prompts = [list(rows[0].input_ids[:8])] * WRITTEN_ROWS
    one, more = (_best(partial(generate, model, prompts, n, (), 0)) for n in (1, 1 + WRITTEN_TOKENS))
    weights = shape.layers * shape.layer + shape.hidden * shape.vocabulary
    done = 2 * weights * WRITTEN_ROWS * WRITTEN_TOKENS
    return Seconds(max(more.wall - one.wall, 1e-6) / done, max(more.cpu - one.cpu, 1e-6) / done)


def _updating() -> Seconds:
    """Of the optimizer and the clipping of gradients, for one parameter."""
    parameter = torch.nn.Parameter(torch.zeros(OPTIMIZED))
    parameter.grad = torch.full((OPTIMIZED,), 1e-3)
    optimizer = torch.optim.AdamW([parameter], lr=1e-4, fused=True)

    def update() -> None:
        """Clip and step."""
        torch.nn.utils.clip_grad_norm_([parameter], 1.0)
        optimizer.step()

    return _best(update).times(1 / OPTIMIZED)
