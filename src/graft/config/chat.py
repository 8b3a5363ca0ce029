"""What ``graft chat`` takes."""

from __future__ import annotations

from graft.config.base import setting
from graft.config.common import ModelSettings


class ChatSettings(ModelSettings):
    prompt: str | None = setting(None, "answer this, and end")
    adapter: str | None = setting(None, "of a bundle with several adapters, the one that answers")
    max_new_tokens: int = setting(256, "longest answer in tokens", gt=0)
