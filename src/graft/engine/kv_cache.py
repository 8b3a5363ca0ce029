"""Keys and values of rows in generation: what rows share is kept once, and a new token copies nothing."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache

from graft.engine.autograd import AttentionScores
from graft.engine.kernels import kernels, structs


class LayerCache(NamedTuple):
    """Of one layer: keys and values that all rows share (tokens, kv heads, d), and each row's own (rows, capacity, kv
    heads, d).
    """

    shared_keys: torch.Tensor
    own_keys: torch.Tensor
    shared_values: torch.Tensor
    own_values: torch.Tensor


class PackedKVCache(DynamicCache):
    """A cache that the kernels read.

    A packed pass fills it with what the rows share and then each row's own, one after the other. After that each pass
    brings one token for each row of ``slots``.

    Args:
        shared: How many tokens all rows share.
        lengths: How many tokens of its own each row has.
        capacity: How many it may have.
    """

    def __init__(self, shared: int, lengths: Sequence[int], capacity: int) -> None:
        super().__init__()
        self.shared, self.capacity = shared, capacity
        self.lengths = torch.tensor(lengths, dtype=torch.int32)
        self.slots = torch.arange(len(lengths), dtype=torch.int32)
        self.kept: list[LayerCache] = []
        counts = torch.tensor(lengths)
        self._rows = torch.repeat_interleave(torch.arange(len(lengths)), counts)
        self._places = torch.arange(int(counts.sum())) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, kv heads, T, d) of the packed pass, then (rows, kv heads, 1, d); both are returned as they are."""
        if layer_idx == len(self.kept):
            self.kept.append(LayerCache(*self._split(key_states), *self._split(value_states)))
        else:
            layer, slots = self.kept[layer_idx], self.slots.long()
            last = self.lengths[slots].long() - 1
            layer.own_keys[slots, last] = key_states[:, :, 0]
            layer.own_values[slots, last] = value_states[:, :, 0]
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """The tokens of the longest row."""
        return self.shared + int(self.lengths.max()) if self.kept else 0

    def select(self, places: Sequence[int]) -> None:
        """Continue with these rows among the present ones."""
        self.slots = self.slots[torch.tensor(places)]

    def grow(self) -> None:
        """Make room for one more token in each row that continues."""
        self.lengths[self.slots.long()] += 1

    def attend(self, q: torch.Tensor, layer: int, scores: AttentionScores) -> torch.Tensor:
        """Attention of one new token per row: q (rows, heads, 1, d) -> (rows, 1, heads, d)."""
        q = q.contiguous()
        out = torch.empty(q.shape[0], 1, q.shape[1], q.shape[3], dtype=q.dtype)
        kept = self.kept[layer]
        cache = structs.KVCache(
            len(self.slots), self.shared, self.capacity, self.slots.data_ptr(), self.lengths.data_ptr()
        )
        params = structs.AttentionParams(
            heads=q.shape[1],
            kv_heads=kept.own_keys.shape[2],
            d=q.shape[3],
            window=scores.window,
            scale=scores.scale,
            cap=scores.cap,
        )
        arrays = kept.shared_keys, kept.shared_values, kept.own_keys, kept.own_values
        library = kernels()
        assert library is not None
        library("attention_decode", q.dtype, ctypes.byref(params), ctypes.byref(cache), q, *arrays, out)
        return out

    def _split(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, kv heads, T, d) -> what is shared (tokens, kv heads, d), the rows' own (rows, capacity, kv heads, d)."""
        tokens = states[0].transpose(0, 1)
        own = states.new_zeros(len(self.lengths), self.capacity, *tokens.shape[1:])
        own[self._rows, self._places] = tokens[self.shared :]
        return tokens[: self.shared].contiguous(), own
