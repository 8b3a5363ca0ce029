"""How fast each engine trains on this machine: its own forward and backward, timed once and kept in the user's cache.

Products of matrices do not tell. Where a processor lacks instructions for int8, an int8 step falls back to PyTorch's
integer product and takes several times as long as an exact one, though oneDNN's int8 product is fast there.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from graft._version import __version__
from graft.data.example import Origin
from graft.data.tokenize import TokenizedExample
from graft.documents import read_object
from graft.engine.kernels import SWITCH, kernels_missing
from graft.engine.losses import pack, packed_loss
from graft.engine.patch import fused
from graft.engine.quantized_weights import QUANTIZED_WEIGHTS
from graft.errors import GraftError, InputError
from graft.files import write_whole
from graft.hardware.machine import cpu_name, isa
from graft.models.cache import cache_folder
from graft.ownership import is_private, private_folder
from graft.progress import SILENT, Reporter

ENGINES = ("exact", *QUANTIZED_WEIGHTS)
ROWS, TOKENS = 6, 49
"""A batch of 294 tokens: long enough for the kernels that pack weights."""
HIDDEN, INNER, LAYERS, RANK = 512, 1536, 3, 16
STEPS = 3
SLOW = 4.0
"""An engine that takes so many times as long as the exact one at its first step is not timed again."""


def engine_rates(reporter: Reporter = SILENT) -> dict[str, float]:
    """Tokens per second of a training step on the CPU, by engine: exact, int8, bfloat16.

    A step is a forward and a backward pass of three decoder layers (512 features, 1536 in the MLP) with LoRA of rank
    16 in each linear layer, over 294 tokens; the best of three counts. It takes some seconds at the first call on a
    machine; the result is cached for this processor, number of threads and version of graft and PyTorch.

    Args:
        reporter: Told that something is measured, when it is.
    """
    path = cache_folder() / "benchmarks" / f"engines-{machine_key()}.json"
    cached = _cached(path)
    if cached is not None:
        return cached
    reporter.note("measuring the speed of each engine on this machine (once; the result is cached)")
    rates = measure_engines()
    with suppress(OSError, GraftError):  # without a cache it is measured again next time
        write_whole(private_folder(path.parent) / path.name, json.dumps(rates))
    return rates


def _cached(path: Path) -> dict[str, float] | None:
    """The rates in a file of the cache; None where they are damaged, or another user could have written them."""
    try:
        found = read_object(path) if is_private(path) else {}
    except InputError:
        return None
    usable = all(isinstance(rate, float) and 0 < rate < math.inf for rate in found.values())
    return found if set(found) == set(ENGINES) and usable else None


def slowdown(engine: str, reporter: Reporter = SILENT) -> float:
    """How many times as long a step with ``engine`` takes as an exact one, on the CPU; below 1 it is faster."""
    rates = engine_rates(reporter)
    return rates["exact"] / rates[engine]


def measure_engines(hidden: int = HIDDEN, inner: int = INNER, steps: int = STEPS) -> dict[str, float]:
    """As ``engine_rates``, measured now, for layers of these sizes; leaves PyTorch's random numbers as they were."""
    with _same_random_numbers():
        torch.manual_seed(0)
        model, batch = _model(hidden, inner), _batch()
    tokens = int(batch["input_ids"].numel())
    seconds: dict[str, float] = {}
    for engine in ENGINES:
        with fused(model, engine):
            seconds[engine] = _step_seconds(model, batch)  # the first one also compiles and allocates
            if engine == "exact" or seconds[engine] < SLOW * seconds["exact"]:
                seconds[engine] = min(_step_seconds(model, batch) for _ in range(steps))
    return {engine: round(tokens / value, 1) for engine, value in seconds.items()}


def _step_seconds(model: Any, batch: dict[str, Any]) -> float:
    began = time.perf_counter()
    torch.autograd.backward(packed_loss(model, batch))
    model.zero_grad()
    return time.perf_counter() - began


def _model(hidden: int, inner: int) -> Any:
    """A random Llama with LoRA in each linear layer of its decoder."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=LAYERS,
        num_attention_heads=8,
        num_key_value_heads=8,
        vocab_size=256,
    )
    adapters = LoraConfig(r=RANK, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM")
    return get_peft_model(LlamaForCausalLM(config), adapters).train()


def _batch() -> dict[str, Any]:
    """Rows without a common prefix, of which the last tenth are targets."""
    rows = torch.randint(3, 256, (ROWS, TOKENS + 1)).tolist()
    origin = Origin("benchmark", 1)
    return pack([TokenizedExample(row, TOKENS - 5, origin) for row in rows])


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


def machine_key() -> str:
    """What measurements of this machine depend on: processor, threads, kernels, versions."""
    known = [cpu_name(), *isa(), str(os.cpu_count()), str(torch.get_num_threads()), torch.__version__, __version__]
    known += [os.environ.get(SWITCH, ""), kernels_missing() or ""]
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]
