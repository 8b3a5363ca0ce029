"""Settings of ``graft chat``."""

from __future__ import annotations

from graft.config.base import setting
from graft.config.common import BackendSettings, ModelSettings


class ChatSettings(ModelSettings, BackendSettings):
    """Settings of ``graft chat``."""

    prompt: str | None = setting(None, "answer this prompt and exit, instead of starting a conversation")
    adapter: str | None = setting(None, "adapter to use, in a bundle with several")
    max_new_tokens: int = setting(256, "maximum number of tokens in an answer", gt=0)
