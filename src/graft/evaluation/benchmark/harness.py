"""The harness as a library: imported where it is used, quiet, offline, and with templates that run no code."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from graft.errors import need_extra


def require_harness() -> Any:
    """Import lm-evaluation-harness, and return the module.

    Raises:
        MissingExtra: If it is not installed.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import lm_eval
        import lm_eval.utils
    except ImportError as error:
        raise need_extra("benchmark", "lm-eval") from error
    logger = logging.getLogger("lm_eval")
    if logging.getLogger().level > logging.INFO:
        logger.setLevel(logging.CRITICAL)
    _close_templates(lm_eval.utils)
    return lm_eval


def harness_version() -> str:
    """Return the version of the harness."""
    return version("lm-eval")


def harness_tasks() -> Path:
    """Return the folder with the harness's own tasks.

    Raises:
        MissingExtra: If the harness is not installed.
    """
    return Path(require_harness().__file__).parent / "tasks"


def _close_templates(utils: Any) -> None:
    """Let Jinja templates of tasks read their row and nothing else: those of a YAML file can be from anywhere."""
    from jinja2 import BaseLoader
    from jinja2.sandbox import SandboxedEnvironment

    if isinstance(utils.env, SandboxedEnvironment):
        return
    closed = SandboxedEnvironment(loader=BaseLoader(), undefined=utils.env.undefined, keep_trailing_newline=True)
    closed.filters |= utils.env.filters
    utils.env = closed


@contextmanager
def offline(is_offline: bool = True) -> Iterator[None]:
    """Within, the libraries of Hugging Face open no connection, whatever they would look up.

    Args:
        is_offline: False leaves everything as the user's environment has it.
    """
    import datasets.config
    from huggingface_hub import constants

    if logging.getLogger().level > logging.INFO:
        datasets.disable_progress_bars()
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # each of its retries is a warning
    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if is_offline:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before
