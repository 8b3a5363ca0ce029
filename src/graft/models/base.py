"""The front door to models: what other layers use of them."""

from __future__ import annotations

from graft.models.adapter_files import complete_adapter
from graft.models.chat_templates import save_chat_template
from graft.models.find_base import BaseMissing
from graft.models.folder import Base, is_whole
from graft.models.link import link
from graft.models.load import head_layers, kind_of, load_model, load_tokenizer, save_new_tokens
from graft.models.open import Opened, open_model_settings, open_run_or_model, untuned, untuned_if_here
from graft.models.resolve import resolve

__all__ = [
    "Base",
    "BaseMissing",
    "Opened",
    "complete_adapter",
    "head_layers",
    "is_whole",
    "kind_of",
    "link",
    "load_model",
    "load_tokenizer",
    "open_model_settings",
    "open_run_or_model",
    "resolve",
    "save_chat_template",
    "save_new_tokens",
    "untuned",
    "untuned_if_here",
]
