"""Where an answer meets one of its stop sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

EXTRA_TOKENS = 8
"""Tokens before the longest stop sequence that are read with it: a tokenizer may drop the blank of the first one."""


class Stop:
    """Tells whether an answer, as its token ids so far, has a stop sequence.

    Args:
        until: The stop sequences.
        text: Decodes token ids.
    """

    def __init__(self, until: Sequence[str], text: Callable[[Sequence[int]], str]) -> None:
        self.until, self._text = until, text
        # A token is at least a byte of the text, but for special tokens, which are no text.
        self.window = EXTRA_TOKENS + max((len(one.encode("utf-8")) for one in until), default=0)

    def __call__(self, ids: Sequence[int]) -> bool:
        """Whether the last tokens, which a new one has joined, have a stop sequence in them."""
        text = self._text(ids[-self.window :])
        return any(one in text for one in self.until)
