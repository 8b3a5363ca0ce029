"""Whether a model's head has the weight of its embeddings, and its configuration's word for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAME = "tie_word_embeddings"


def is_tied(model: Any) -> bool:
    """Whether the head of ``model`` has the very weight of its embeddings."""
    head = model.get_output_embeddings()
    return head is not None and head.weight is model.get_input_embeddings().weight


@contextmanager
def tying_recorded(model: Any) -> Iterator[None]:
    """Afterwards the configuration of ``model``, whose weights may change within, says what holds of its head.

    Where head and embeddings are apart, it must not say that they are tied: only one of the two would be saved, and
    loading would put it in the other's place. Where they are still one, it says what it said before.
    """
    before = [(config, getattr(config, NAME)) for config in _configs(model.config) if hasattr(config, NAME)]
    yield
    apart = model.get_output_embeddings() is not None and not is_tied(model)
    for config, value in before:
        setattr(config, NAME, False if apart else value)
    if hasattr(model, "all_tied_weights_keys"):
        model.all_tied_weights_keys = model.get_expanded_tied_weights_keys(all_submodels=True)


def _configs(config: Any) -> Iterator[Any]:
    """The configuration itself and that of its text model, where they are two, as in multimodal models."""
    yield config
    text = config.get_text_config()
    if text is not config:
        yield text
