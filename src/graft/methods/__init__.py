"""Tuning methods: each method prepares a model and saves the tuned weights."""

from __future__ import annotations

from typing import Any

from graft.methods.base import Method
from graft.registry import Registry

METHODS: Registry[Method[Any]] = Registry(
    "method",
    Method,
    {
        "lora": "graft.methods.lora:LORA",
        "full": "graft.methods.full:FULL",
        "qlora": "graft.methods.qlora:QLORA",
        "adapters": "graft.methods.bottleneck:ADAPTERS",
        "loha": "graft.methods.peft_types:LOHA",
        "lokr": "graft.methods.peft_types:LOKR",
        "oft": "graft.methods.peft_types:OFT",
        "boft": "graft.methods.peft_types:BOFT",
        "ia3": "graft.methods.peft_types:IA3",
        "vera": "graft.methods.peft_types:VERA",
        "hra": "graft.methods.peft_types:HRA",
        "randlora": "graft.methods.peft_types:RANDLORA",
        "miss": "graft.methods.peft_types:MISS",
        "shira": "graft.methods.peft_types:SHIRA",
        "delora": "graft.methods.peft_types:DELORA",
        "hira": "graft.methods.peft_types:HIRA",
    },
)
