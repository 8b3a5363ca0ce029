"""Greedy generation in batches; a prefix that all prompts share is computed once."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache, StoppingCriteriaList

from graft.engine.attention import packed
from graft.engine.kernels import kernels_for
from graft.engine.kv_cache import PackedKVCache
from graft.engine.losses import Batch, packed_logits
from graft.engine.packing import SHORTEST_PREFIX, Node, common_prefix, lay_out
from graft.engine.patch import fused
from graft.engine.support import sees_all, supports
from graft.models.families import positions

Progress = Callable[[int, int], None]
Ids = Sequence[int]
IsDone = Callable[[Sequence[int]], bool]
ROWS_AT_ONCE = 64
TOKENS_AT_ONCE = 8192


@torch.no_grad()
def generate(
    model: Any,
    prompts: Sequence[Ids],
    max_new_tokens: int,
    eos_ids: Collection[int],
    pad_id: int,
    progress: Progress | None = None,
    is_done: IsDone | None = None,
) -> list[list[int]]:
    """Continue each prompt by the most likely token, up to an end token or the limit.

    Args:
        model: A causal language model; set to evaluation mode.
        prompts: Token ids.
        max_new_tokens: The most tokens for each prompt. A model with a table of positions writes up to its last one.
        eos_ids: Tokens that end an answer; they are omitted from it.
        pad_id: A token for padding where batches are padded.
        progress: Called with the prompts done and their number, after each batch.
        is_done: Whether an answer, as its token ids so far, ends here, as at a stop sequence.

    Returns:
        New token ids for each prompt, in order.
    """
    model.eval()
    found: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    longest = max(map(len, prompts), default=0) + max_new_tokens
    weights = [p for p in model.parameters() if p.is_floating_point()]
    by_kernels = kernels_for(*weights) is not None
    # In a padded cache a window would count the padding.
    packable = supports(model) is None and (by_kernels or sees_all(model, longest))
    done, end = 0, positions(model.config) or math.inf
    while done < len(order):
        lengths = [len(prompts[i]) for i in order[done:]]
        batch = order[done : done + (_size(lengths, max_new_tokens, end) if packable else 1)]
        rows = [prompts[i] for i in batch]
        most = int(min(max_new_tokens, end - len(rows[-1])))
        with fused(model):
            if most < 1:
                answers: list[list[int]] = [[] for _ in rows]
            elif not packable:
                answers = _plain(model, rows[0], most, set(eos_ids), pad_id, is_done)
            elif by_kernels:
                answers = _by_kernels(model, rows, most, set(eos_ids), is_done)
            else:
                answers = _packed(model, rows, most, set(eos_ids), is_done)
        for index, answer in zip(batch, answers, strict=True):
            found[index] = answer
        done += len(batch)
        if progress:
            progress(done, len(prompts))
    return found


def _size(lengths: Sequence[int], max_new_tokens: int, end: float) -> int:
    """How many of the next rows form a batch: each takes the memory of the longest, and the shortest come first.

    A row whose answer would go beyond the ``end`` of the model's positions is alone.
    """
    size = 1
    while size < min(len(lengths), ROWS_AT_ONCE):
        longest = lengths[size] + max_new_tokens
        if (size + 1) * longest > TOKENS_AT_ONCE or longest > end:
            break
        size += 1
    return size


Advance = Callable[[list[int], list[int], int], torch.Tensor]
"""Takes the rows that continue (as indices among those that continued before), their last tokens, and how many tokens
were written before; returns their logits (rows, vocabulary)."""


def _write(
    logits: torch.Tensor,
    advance: Advance,
    max_new_tokens: int,
    eos_ids: set[int],
    rows: int,
    is_done: IsDone | None,
) -> list[list[int]]:
    answers: list[list[int]] = [[] for _ in range(rows)]
    alive = list(range(rows))
    for step in range(max_new_tokens):
        tokens = logits.argmax(-1).tolist()
        going = [place for place, token in enumerate(tokens) if token not in eos_ids]
        for place in going:
            answers[alive[place]].append(tokens[place])
        if is_done is not None:
            going = [place for place in going if not is_done(answers[alive[place]])]
        if not going or step == max_new_tokens - 1:
            break
        alive = [alive[place] for place in going]
        logits = advance(going, [tokens[place] for place in going], step)
    return answers


def _by_kernels(
    model: Any, prompts: Sequence[Ids], max_new_tokens: int, eos_ids: set[int], is_done: IsDone | None
) -> list[list[int]]:
    """As ``_packed``, where each new token reads the cache of its row and copies nothing."""
    prefix, nodes, batch = _prompts(prompts)
    lengths = [len(node.tokens) for node in nodes]
    cache = PackedKVCache(prefix, lengths, max(lengths) + max_new_tokens)
    first = packed_logits(model, batch, use_cache=True, past_key_values=cache).logits[0]
    positions = torch.tensor([len(prompt) for prompt in prompts])

    def advance(going: list[int], tokens: list[int], step: int) -> torch.Tensor:
        """``Advance`` on a packed cache: rows that ended are no longer selected, and nothing is copied."""
        cache.select(going)
        cache.grow()
        with packed(model):
            output = model(
                input_ids=torch.tensor(tokens)[:, None],
                position_ids=(positions[cache.slots.long()] + step)[:, None],
                past_key_values=cache,
                use_cache=True,
                packed_cache=cache,
            )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    return _write(first, advance, max_new_tokens, eos_ids, len(prompts), is_done)


def _packed(
    model: Any, prompts: Sequence[Ids], max_new_tokens: int, eos_ids: set[int], is_done: IsDone | None
) -> list[list[int]]:
    first, cache, mask = _prefill(model, prompts)
    device = mask.device
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)

    def advance(going: list[int], tokens: list[int], step: int) -> torch.Tensor:
        """``Advance`` on transformers' cache: rows that ended are removed from the cache and its mask."""
        nonlocal mask, lengths
        if len(going) < len(lengths):
            kept = torch.tensor(going, device=device)
            cache.batch_select_indices(kept)
            mask, lengths = mask[kept], lengths[kept]
        mask = torch.cat([mask, mask.new_ones(len(going), 1)], dim=1)
        output = model(
            input_ids=torch.tensor(tokens, device=device)[:, None],
            position_ids=(lengths + step)[:, None],
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    return _write(first, advance, max_new_tokens, eos_ids, len(prompts), is_done)


class _Prefilled(NamedTuple):
    logits: torch.Tensor
    cache: DynamicCache
    mask: torch.Tensor


class _PackedPrompts(NamedTuple):
    prefix: int
    nodes: list[Node]
    batch: Batch


def _prefill(model: Any, prompts: Sequence[Ids]) -> _Prefilled:
    """Logits after each prompt (rows, vocabulary), a cache whose rows are padded on the left, and its mask."""
    prefix, nodes, batch = _prompts(prompts)
    lengths = torch.tensor([len(node.tokens) for node in nodes])
    stops = batch["target_positions"] + 1
    output = packed_logits(model, batch, use_cache=True, past_key_values=DynamicCache())
    longest = int(lengths.max())
    offsets = torch.arange(-longest, 0)[None, :]
    valid = offsets >= -lengths[:, None]
    places = torch.where(valid, stops[:, None] + offsets, 0)
    shared = torch.arange(prefix)[None, :].expand(len(nodes), -1)
    index = torch.cat([shared, places], dim=1).to(output.logits.device)
    cache = DynamicCache()
    for number, layer in enumerate(output.past_key_values.layers):
        cache.update(_rows(layer.keys, index), _rows(layer.values, index), number)
    mask = torch.cat([torch.ones_like(shared), valid.long()], dim=1)
    return _Prefilled(output.logits[0], cache, mask.to(index.device))


def _prompts(prompts: Sequence[Ids]) -> _PackedPrompts:
    """The shared prefix, each prompt's own tokens, and both as a batch whose targets are the prompts' last tokens."""
    prefix = common_prefix(prompts, min(len(p) for p in prompts) - 1) if len(prompts) > 1 else 0
    prefix = prefix if prefix >= SHORTEST_PREFIX else 0
    nodes = [Node(prompt[prefix:]) for prompt in prompts]
    tokens, positions, layout = lay_out([[Node(prompts[0][:prefix])], nodes] if prefix else [nodes])
    stops = prefix + torch.tensor([len(node.tokens) for node in nodes]).cumsum(0)
    batch = {
        "input_ids": torch.tensor([tokens]),
        "position_ids": torch.tensor([positions]),
        "target_positions": stops - 1,
        "layout": layout,
    }
    return _PackedPrompts(prefix, nodes, batch)


def _rows(kept: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """(1, heads, T, d) -> (rows, heads, length, d)."""
    return kept[0][:, index].transpose(0, 1).contiguous()


def _plain(
    model: Any, prompt: Ids, max_new_tokens: int, eos_ids: set[int], pad_id: int, is_done: IsDone | None
) -> list[list[int]]:
    ids = torch.tensor([list(prompt)], device=model.device)

    def ends(written: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Whether each row (1, tokens) is done, (1,): a stopping criterion of transformers."""
        return torch.tensor([is_done is not None and is_done(written[0, len(prompt) :].tolist())], device=ids.device)

    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=sorted(eos_ids),
        pad_token_id=pad_id,
        stopping_criteria=StoppingCriteriaList([ends]) if is_done is not None else None,
    )
    answer = output[0, len(prompt) :].tolist()
    ended = [place for place, token in enumerate(answer) if token in eos_ids]
    return [answer[: ended[0]] if ended else answer]
