"""Settings of servers that answer prompts, and of teachers."""

from __future__ import annotations

from typing import Literal

from graft.config.base import Settings, setting
from graft.config.types import Pairs, Paths


class ServerSettings(Settings):
    """How requests are sent to a server."""

    endpoint_api: Literal["chat", "completions"] | None = setting(
        None, "API of the server: chat (messages) or completions (plain text) (default: depends on the prompts)"
    )
    endpoint_body: Pairs = setting(
        {}, 'additional fields of each request: reasoning_effort=low, or JSON; null removes a field: "seed=null"'
    )
    endpoint_concurrency: int = setting(4, "maximum number of concurrent requests to a server", gt=0, le=256)
    endpoint_timeout: float = setting(120.0, "timeout of a request to a server, in seconds", gt=0, le=86400)
    endpoint_retries: int = setting(5, "retries after a temporary failure (429, 5xx, a broken connection)", ge=0, le=20)
    api_key_env: str | None = setting(
        None,
        "environment variable that holds the API key (default: OPENAI_API_KEY, for OpenAI and local servers only)",
    )


class TeacherSettings(ServerSettings):
    """The teacher that writes new rows: a server, or a model on this machine."""

    endpoint: str | None = setting(None, "address of an OpenAI-compatible server that writes rows: http://HOST:PORT/v1")
    teacher: str | None = setting(
        None, "model that writes rows: with --endpoint its name on the server, otherwise a run, a folder, or a Hub ID"
    )
    max_new_tokens: int | None = setting(
        None, "maximum number of tokens in a generated text (default: 512; 32 for labels)", gt=0
    )
    against: Paths | None = setting(
        None, "files with rows that added rows must not repeat, such as those of a benchmark"
    )
