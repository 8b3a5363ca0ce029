"""Settings of ``graft evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from graft.config.base import Settings, setting
from graft.config.common import BackendSettings, EvaluationSettings, ModelSettings, RowSettings
from graft.config.types import Pairs


class EndpointSettings(Settings):
    """How a server is asked, where an address stands in place of a model."""

    run: Path | None = setting(
        None, "run to compare a server with: its held-out rows, prompts, labels, limits and recorded answers"
    )
    endpoint_api: Literal["chat", "completions"] | None = setting(
        None, "interface of the server: chat takes messages, completions a text (default: by the prompts of the rows)"
    )
    endpoint_body: Pairs = setting(
        {}, 'further fields of each request to a server: reasoning_effort=low, or JSON; null omits one: "seed=null"'
    )
    endpoint_concurrency: int = setting(4, "requests to a server at a time", gt=0, le=256)
    endpoint_timeout: float = setting(120.0, "seconds for one request to a server", gt=0, le=86400)
    endpoint_retries: int = setting(
        5, "further tries of a request after a failure that may pass (429, 5xx, a broken connection)", ge=0, le=20
    )
    api_key_env: str | None = setting(
        None,
        "environment variable with the key of a server (default: OPENAI_API_KEY, for OpenAI and servers on this "
        "machine)",
    )


class EvaluateSettings(EndpointSettings, RowSettings, EvaluationSettings, ModelSettings, BackendSettings):
    """All settings of ``graft evaluate``."""

    max_eval_samples: int | None = setting(None, "maximum number of rows, sampled with the same mix of classes", gt=0)
    adapter: str | None = setting(None, "adapter to evaluate, in a bundle with several (default: all)")
    output_path: Path | None = setting(
        None, "folder for evaluation.json and predictions.jsonl (default: the run folder)", "output_dir", "o"
    )
