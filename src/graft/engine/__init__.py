"""The fast path: packed batches, attention over them, scoring and generation by the same means."""

from __future__ import annotations

from graft.engine.batching import plan_batches
from graft.engine.generate import generate
from graft.engine.losses import pack, packed_loss, plain_collate, plain_loss
from graft.engine.patch import fusable, fused
from graft.engine.quantized_weights import QUANTIZED_WEIGHTS
from graft.engine.score import score
from graft.engine.support import supports

__all__ = [
    "QUANTIZED_WEIGHTS",
    "fusable",
    "fused",
    "generate",
    "pack",
    "packed_loss",
    "plain_collate",
    "plain_loss",
    "plan_batches",
    "score",
    "supports",
]
