"""Who is compared: a worker, its environment, and the settings it runs with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Contender:
    """``micro_batch``: rows at once (None: all of a step); the rest of a step's rows is accumulated.

    ``grouped``: rows of like length meet in a batch, as the peer's own ``group_by_length`` does with an epoch; the rows
    of all steps together stay the same. ``joined``: tokens a sequence where rows are joined
    to such, None where a row is a sequence of its own.
    """

    name: str
    worker: str
    options: dict[str, Any] = field(default_factory=dict)
    micro_batch: int | None = None
    grouped: bool = False
    joined: int | None = None

    @property
    def float32(self) -> bool:
        """Whether a peer computes in float32; all of them would take bfloat16 if left alone."""
        return self.options.get("bf16") is False or self.options.get("torch_dtype") == "float32"

    @property
    def is_peer(self) -> bool:
        return self.worker != "graft"


FLOAT32 = {"bf16": False, "gradient_checkpointing": False, "lora_dropout": 0.0}
OLIVE_ROWS = {
    "torch_dtype": "float32",
    "lora_dropout": 0.0,
    "gradient_checkpointing": False,
    "preprocess": {"strategy": "line-by-line", "pad_to_max_len": False, "add_special_tokens": False},
}

CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("graft exact", "graft", {"engine": "exact"}),
        Contender("graft int8", "graft", {"engine": "int8"}),
        Contender("graft bfloat16", "graft", {"engine": "bfloat16"}),
        Contender("graft plain", "graft", {"engine": "plain"}),
        # bfloat16 by autocast, checkpointing; the dropout is that of TRL's command line.
        Contender("TRL defaults", "trl", {"lora_dropout": 0.05}, micro_batch=8),
        Contender("TRL best", "trl", FLOAT32, micro_batch=16, grouped=True),
        # As graft takes them: for the memory at the same batch.
        Contender("TRL best whole", "trl", FLOAT32),
        Contender("TRL best bf16", "trl", {**FLOAT32, "bf16": True}, micro_batch=16, grouped=True),
        Contender("TRL packed", "trl", {**FLOAT32, "padding_free": True}, micro_batch=8),
        # bfloat16 weights, checkpointing, rows joined to sequences of 1024.
        Contender("Olive defaults", "olive", {}, micro_batch=1, joined=1024),
        Contender("Olive best", "olive", OLIVE_ROWS, micro_batch=16, grouped=True),
    )
}
DEFAULT = ("graft exact", "graft int8", "TRL best", "TRL best bf16", "TRL defaults", "Olive best", "Olive defaults")
