"""The sizes of a model, read from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a decoder or an encoder.

    Attributes:
        hidden: Features of a token.
        inner: Features within the MLP.
        layers: Their number; of an encoder-decoder those of both.
        queries: Features of all query heads together.
        keys: Features of all key heads together.
        vocabulary: The number of tokens.
        matrices: Matrices in the MLP: 3 if it is gated.
        tied: Whether the head has the weights of the embeddings.
    """

    hidden: int
    inner: int
    layers: int
    queries: int
    keys: int
    vocabulary: int
    matrices: int
    tied: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> ModelShape:
        """The sizes in ``config``, with transformers' usual values for those that are missing."""
        hidden = _first(config, ("hidden_size", "n_embd", "d_model", "dim"), 768)
        heads = _first(config, ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads"), 1)
        head = _first(config, ("head_dim", "d_kv"), hidden // heads)
        layers = _first(config, ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers"), 12)
        if config.get("is_encoder_decoder"):
            layers += _first(config, ("num_decoder_layers", "decoder_layers"), layers)
        gated = "intermediate_size" in config and config.get("model_type") not in {"bert", "roberta", "distilbert"}
        return cls(
            hidden=hidden,
            inner=_first(config, ("intermediate_size", "n_inner", "d_ff", "hidden_dim", "encoder_ffn_dim"), 4 * hidden),
            layers=layers,
            queries=heads * head,
            keys=_first(config, ("num_key_value_heads",), heads) * head,
            vocabulary=_first(config, ("vocab_size",), 32_000),
            matrices=3 if gated else 2,
            tied=bool(config.get("tie_word_embeddings", True)),
        )

    @property
    def layer(self) -> int:
        """The weights of the matrices of one layer: grouped attention, and an MLP."""
        return self.hidden * (2 * self.queries + 2 * self.keys + self.matrices * self.inner)

    @property
    def parameters(self) -> int:
        """About the number of all parameters; the exact one is counted on the meta device."""
        return self.layers * self.layer + self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def cache_numbers(self) -> int:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.keys


def _first(config: Mapping[str, Any], names: tuple[str, ...], default: int) -> int:
    return next((int(config[name]) for name in names if config.get(name)), default)
