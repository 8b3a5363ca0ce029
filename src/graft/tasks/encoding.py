"""What a task needs to turn examples into tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graft.config import DataSettings
from graft.errors import InputError
from graft.models.base import Base
from graft.models.families import POSITION_TABLES
from graft.models.load import kind_of
from graft.tasks.label_space import LabelSpace

DEFAULT_MAX_LENGTH = 1024
"""Tokens in a row, unless ``--max_length`` is given or the model reads fewer."""


@dataclass(frozen=True)
class Encoding:
    """How examples become tokens: the tokenizer, the labels, and the limits.

    Attributes:
        tokenizer: A tokenizer of transformers.
        label_space: The labels that targets are indices into.
        max_length: The maximum number of tokens in a row.
        loss_on: ``"completion"`` or ``"all"``: which tokens of a generated text the loss covers.
    """

    tokenizer: Any
    label_space: LabelSpace
    max_length: int
    loss_on: str = "completion"


def model_limit(tokenizer: Any, base: Base) -> int:
    """Return the maximum number of tokens that the model was made for; 1024 for one that does not say."""
    config = base.text_config
    limit: int = config.get("max_position_embeddings") or config.get("n_positions") or DEFAULT_MAX_LENGTH
    # Some encoders count positions from an offset, so the tokenizer's own limit can be lower.
    return min(limit, max(8, int(tokenizer.model_max_length)))


def reads_no_more(base: Base) -> bool:
    """Return whether the model fails on rows beyond ``model_limit``, rather than reading them less well."""
    config = base.text_config
    return kind_of(config) == "encoder" or config.get("model_type") in POSITION_TABLES


def resolve_max_length(settings: DataSettings, tokenizer: Any, base: Base) -> int:
    """Return the maximum number of tokens in a row: as given, else what the model reads, at most 1024.

    Raises:
        InputError: If ``--max_length`` is longer than the model can read.
    """
    limit = model_limit(tokenizer, base)
    if settings.max_length is None:
        return min(DEFAULT_MAX_LENGTH, limit)
    if reads_no_more(base) and settings.max_length > limit:
        raise InputError(f"this model accepts at most {limit} tokens, not {settings.max_length}", where="--max_length")
    return settings.max_length
