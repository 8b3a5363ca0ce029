"""The time and the memory that a run will take, estimated before training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graft.engine.packing import common_prefix
from graft.hardware.benchmark import training_rates
from graft.methods import METHODS
from graft.planning.plan import RunPlan
from graft.training.schedule import token_megabytes

RUNTIME_MB = 700
"""Python, torch and the tokenizer."""
BESIDES = 1.3
"""The time of a step over that of its layers: the head, the optimizer and the held-out loss are the rest."""


@dataclass(frozen=True)
class RunEstimate:
    """The peak of the memory in MB, and the minutes of training."""

    memory_mb: int
    minutes: float


def estimate(plan: RunPlan) -> RunEstimate:
    """Estimate memory and time from a measurement of this machine, which takes a second.

    A token costs 4 operations per weight of the layers if these are frozen, and 6 if they are trained (Kaplan et al.
    2020, section 2.1); the prefix that the rows of a batch share is computed once.
    """
    config = plan.base.text_config
    weights, whole = layer_weights(config), METHODS.get(plan.settings.method).trains_base
    tokens = _batch_tokens(plan)
    hidden, inner = _hidden(config), _inner(config)
    rate = training_rates(hidden, inner, seconds=0.5)["float32"] * 1e9
    batches = plan.training.steps * plan.training.accumulation
    seconds = BESIDES * batches * tokens * weights * (6 if whole else 4) / rate
    held = 4 * (weights + 2 * _vocabulary(config) * hidden / (2 if config.get("tie_word_embeddings", True) else 1))
    memory = RUNTIME_MB + held * (4 if whole else 1) / 1e6 + tokens * token_megabytes(config)
    return RunEstimate(round(memory), round(seconds / 60, 1))


def layer_weights(config: Mapping[str, Any]) -> int:
    """Return the number of weights in all decoder layers: grouped attention, and a gated MLP (a plain one in GPT-2)."""
    hidden, inner = _hidden(config), _inner(config)
    heads = int(config.get("num_attention_heads") or config.get("n_head") or 1)
    head = int(config.get("head_dim") or hidden // heads)
    groups = int(config.get("num_key_value_heads") or heads)
    layers = int(config.get("num_hidden_layers") or config.get("n_layer") or 12)
    matrices = 3 if "intermediate_size" in config else 2
    return layers * (2 * hidden * head * (heads + groups) + matrices * hidden * inner)


def _batch_tokens(plan: RunPlan) -> float:
    """The mean number of tokens computed in a batch."""
    size = plan.training.batch_size
    rows = [row.input_ids for row in plan.rows[: 4 * size]]
    shared = common_prefix(rows, min(len(row) for row in rows) - 1) if len(rows) > 1 else 0
    return shared + size * (plan.tokens / len(plan.rows) - shared)


def _hidden(config: Mapping[str, Any]) -> int:
    return int(config.get("hidden_size") or config.get("n_embd") or config.get("d_model") or 768)


def _inner(config: Mapping[str, Any]) -> int:
    return int(config.get("intermediate_size") or config.get("n_inner") or config.get("d_ff") or 4 * _hidden(config))


def _vocabulary(config: Mapping[str, Any]) -> int:
    return int(config.get("vocab_size") or 32_000)
