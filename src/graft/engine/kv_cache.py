"""Keys and values of rows that are being written: what rows share is there once, and a new token copies nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from graft.engine.kernels import kernels


class Past(DynamicCache):
    """A cache that the compiled kernels read.

    Filled by a packed pass over what the rows share (``shared`` tokens) and then each row's own (``lengths``), one
    behind the other; ``room`` is how many tokens a row may have of its own. After that each pass brings one token for
    each row of ``slots``.
    """

    def __init__(self, shared: int, lengths: Sequence[int], room: int) -> None:
        super().__init__()
        self.shared, self.room = shared, room
        self.ends = torch.tensor(lengths, dtype=torch.int32)
        self.slots = torch.arange(len(lengths), dtype=torch.int32)
        self.kept: list[tuple[torch.Tensor, ...]] = []
        counts = torch.tensor(lengths)
        self._rows = torch.repeat_interleave(torch.arange(len(lengths)), counts)
        self._places = torch.arange(int(counts.sum())) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, kv heads, T, d) of the packed pass, then (rows, kv heads, 1, d); both come back as they are."""
        if layer_idx == len(self.kept):
            self.kept.append(tuple(part for x in (key_states, value_states) for part in self._begun(x)))
        else:
            own_k, own_v = self.kept[layer_idx][1::2]
            own_k[self.slots.long(), self._last()] = key_states[:, :, 0]
            own_v[self.slots.long(), self._last()] = value_states[:, :, 0]
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.shared + int(self.ends.max()) if self.kept else 0

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some of the rows."""
        self.slots = self.slots[torch.tensor(places)]

    def grow(self) -> None:
        """Each row that goes on is to have one more token."""
        self.ends[self.slots.long()] += 1

    def attend(self, q: torch.Tensor, layer: int, scale: float, cap: float, window: int) -> torch.Tensor:
        """q (rows, heads, 1, d) -> (rows, 1, heads, d)."""
        q = q.contiguous()
        out = torch.empty(q.shape[0], 1, q.shape[1], q.shape[3], dtype=q.dtype)
        shared_k, own_k, shared_v, own_v = self.kept[layer]
        counts = (self.shared, self.room, q.shape[1], own_k.shape[2], q.shape[3])
        how = (len(self.slots), self.slots, self.ends, *counts, scale, cap, window)
        by = kernels()
        assert by is not None
        by("decode", q.dtype, *how, q, shared_k, shared_v, own_k, own_v, out)
        return out

    def _last(self) -> torch.Tensor:
        return self.ends[self.slots.long()].long() - 1

    def _begun(self, packed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, kv heads, T, d) -> what is shared (tokens, kv heads, d) and the rows' own (rows, room, kv heads, d)."""
        tokens = packed[0].transpose(0, 1)
        own = packed.new_zeros(len(self.ends), self.room, *tokens.shape[1:])
        own[self._rows, self._places] = tokens[self.shared :]
        return tokens[: self.shared].contiguous(), own
