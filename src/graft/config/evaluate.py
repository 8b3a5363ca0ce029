"""Settings of ``graft evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from graft.config.base import Settings, setting
from graft.config.common import BackendSettings, EvaluationSettings, ModelSettings, RowSettings
from graft.config.types import Pairs


class EndpointSettings(Settings):
    """How to query a server whose address is given in place of a model."""

    run: Path | None = setting(
        None, "run to compare a server with: its held-out rows, prompts, labels, limits and recorded answers"
    )
    endpoint_api: Literal["chat", "completions"] | None = setting(
        None, "API of the server: chat (messages) or completions (plain text) (default: depends on the prompts)"
    )
    endpoint_body: Pairs = setting(
        {}, 'additional fields of each request: reasoning_effort=low, or JSON; null removes a field: "seed=null"'
    )
    endpoint_concurrency: int = setting(4, "requests to a server at a time", gt=0, le=256)
    endpoint_timeout: float = setting(120.0, "seconds for one request to a server", gt=0, le=86400)
    endpoint_retries: int = setting(5, "retries after a temporary failure (429, 5xx, a broken connection)", ge=0, le=20)
    api_key_env: str | None = setting(
        None,
        "environment variable that holds the API key (default: OPENAI_API_KEY, for OpenAI and local servers only)",
    )


class EvaluateSettings(EndpointSettings, RowSettings, EvaluationSettings, ModelSettings, BackendSettings):
    """All settings of ``graft evaluate``."""

    max_eval_samples: int | None = setting(None, "maximum number of rows, sampled with the same mix of classes", gt=0)
    adapter: str | None = setting(None, "adapter to evaluate, in a bundle with several (default: all)")
    output_path: Path | None = setting(
        None, "folder for evaluation.json and predictions.jsonl (default: the run folder)", "output_dir", "o"
    )
