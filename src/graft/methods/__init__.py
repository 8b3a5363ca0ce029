"""How a model is tuned: each method prepares a model and saves what was tuned; nothing else differs between them."""

from __future__ import annotations

from graft.registry import Registry

METHODS = Registry("method", {"lora": "graft.methods.lora:LORA", "full": "graft.methods.full:FULL"})
