"""How long an answer may be, and where it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graft.errors import InputError

DEFAULT_NEW_TOKENS = 256
"""The harness's, for tasks that do not say how long an answer may be."""


def limits_of(given: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    """Return the most tokens of an answer, and its stop sequences.

    Args:
        given: ``generation_kwargs`` of a task.

    Raises:
        InputError: If the answers are to be sampled: predictors decode greedily.
    """
    from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

    kwargs = normalize_gen_kwargs(dict(given), DEFAULT_NEW_TOKENS)
    if kwargs.get("do_sample"):
        what = "a task samples its answers (do_sample or a temperature); graft writes the likeliest tokens"
        raise InputError(what, where="generation_kwargs", remedy="--gen_kwargs do_sample=false,temperature=0")
    until = handle_stop_sequences(kwargs.get("until"), eos=None)
    return int(kwargs["max_gen_toks"]), tuple(text for text in until if text)
