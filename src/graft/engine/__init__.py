"""The fast path: packed batches, attention over them, scoring and generation by the same means."""

from __future__ import annotations

from graft.engine.batches import plan_batches
from graft.engine.forward import pack, packed_loss, plain_collate, plain_loss
from graft.engine.fused import fusable, fused
from graft.engine.generation import generate
from graft.engine.lowered import LOWERED
from graft.engine.scoring import score
from graft.engine.support import supports

__all__ = [
    "LOWERED",
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
