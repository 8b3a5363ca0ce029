"""The likelihood of completions: a batch in one pass, and shared prefixes computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from graft.engine.losses import packed_logits
from graft.engine.packing import SHORTEST_PREFIX, Node, common_prefix, lay_out
from graft.engine.patch import fused
from graft.engine.prefix_batches import prefix_batches
from graft.engine.support import supports

Progress = Callable[[int, int], None]
Ids = Sequence[int]
TOKENS_AT_ONCE = 4096
TARGETS_AT_ONCE = 1024


class ScoredCompletion(NamedTuple):
    """How likely a completion is after its prompt.

    Attributes:
        log_likelihood: The sum over its tokens, in nats.
        tokens: Their number.
        is_greedy: Whether each is the most likely one, so that greedy generation would write just this.
    """

    log_likelihood: float
    tokens: int
    is_greedy: bool


@torch.no_grad()
def score(
    model: Any,
    prompts: Sequence[Ids],
    completions: Sequence[Sequence[Ids]],
    progress: Progress | None = None,
    by_prefix: bool = False,
) -> list[list[ScoredCompletion]]:
    """Score each prompt's completions.

    Args:
        model: A causal language model; set to evaluation mode.
        prompts: Token ids, at least one each.
        completions: For each prompt the token ids of its completions.
        progress: Called with the prompts done and their number, after each batch.
        by_prefix: Whether prompts that begin alike are batched together, and not those of similar length: for prompts
            of several kinds with long prefixes, such as few-shot examples.

    Returns:
        For each prompt a score per completion, in order.
    """
    model.eval()
    found: list[list[ScoredCompletion]] = [[] for _ in prompts]
    done = 0
    one_by_one = supports(model) is not None
    if by_prefix and not one_by_one:
        answers = [sum(map(len, each)) for each in completions]
        batches = prefix_batches(prompts, answers, TOKENS_AT_ONCE, TARGETS_AT_ONCE)
    else:
        batches = _batches(prompts, completions, one_by_one)
    for batch in batches:
        chosen = [prompts[i] for i in batch], [completions[i] for i in batch]
        with fused(model):
            scored = _plain(model, *chosen) if one_by_one else _packed(model, *chosen)
        for index, scores in zip(batch, scored, strict=True):
            found[index] = scores
        done += len(batch)
        if progress:
            progress(done, len(prompts))
    return found


def _batches(prompts: Sequence[Ids], completions: Sequence[Sequence[Ids]], one_by_one: bool) -> Iterator[list[int]]:
    """Indices of prompts of similar length, as many as the budgets of tokens and targets hold."""
    batch: list[int] = []
    tokens = targets = 0
    for index in sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i)):
        answers = sum(len(completion) for completion in completions[index])
        size = len(prompts[index]) + answers
        full = tokens + size > TOKENS_AT_ONCE or targets + answers > TARGETS_AT_ONCE
        if batch and (one_by_one or full):
            yield batch
            batch, tokens, targets = [], 0, 0
        batch.append(index)
        tokens, targets = tokens + size, targets + answers
    if batch:
        yield batch


def _packed(model: Any, prompts: Sequence[Ids], completions: Sequence[Sequence[Ids]]) -> list[list[ScoredCompletion]]:
    prefix = common_prefix(prompts, min(len(p) for p in prompts) - 1) if len(prompts) > 1 else 0
    prefix = prefix if prefix >= SHORTEST_PREFIX else 0
    heads = [Node(prompt[prefix:]) for prompt in prompts]
    answers = [Node(c, parent) for parent, cs in enumerate(completions) for c in cs]
    # Nothing that the last token of a completion predicts is scored.
    leaves = [Node(answer.tokens[:-1], answer.parent) for answer in answers]
    levels = [[Node(prompts[0][:prefix])]] if prefix else []
    tokens, positions, layout = lay_out([*levels, heads, *([leaves] if any(leaf.tokens for leaf in leaves) else [])])
    places: list[int] = []
    labels: list[int] = []
    ends = list(_ends(prefix, heads))
    start = ends[-1] + 1
    for answer in answers:
        places += [ends[answer.parent], *range(start, start + len(answer.tokens) - 1)]
        labels += answer.tokens
        start += len(answer.tokens) - 1
    batch = {
        "input_ids": torch.tensor([tokens]),
        "position_ids": torch.tensor([positions]),
        "target_positions": torch.tensor(places),
        "layout": layout,
    }
    logits = packed_logits(model, batch).logits[0].float()
    scored = iter(_scored(logits, labels, [len(answer.tokens) for answer in answers]))
    return [[next(scored) for _ in cs] for cs in completions]


def _scored(logits: torch.Tensor, labels: Sequence[int], lengths: Sequence[int]) -> list[ScoredCompletion]:
    """Scores from logits (tokens, vocabulary) of completions of these lengths, one after the other."""
    targets = torch.tensor(labels, device=logits.device)
    nats = -torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    is_best = logits.argmax(-1) == targets
    parts = zip(torch.split(nats, list(lengths)), torch.split(is_best, list(lengths)), lengths, strict=True)
    return [ScoredCompletion(part.sum().item(), length, bool(best.all())) for part, best, length in parts]


def _ends(prefix: int, heads: Sequence[Node]) -> Iterator[int]:
    """The index of each prompt's last token."""
    place = prefix - 1
    for node in heads:
        place += len(node.tokens)
        yield place


def _plain(model: Any, prompts: Sequence[Ids], completions: Sequence[Sequence[Ids]]) -> list[list[ScoredCompletion]]:
    found = []
    for prompt, answers in zip(prompts, completions, strict=True):
        scores = []
        for answer in answers:
            ids = torch.tensor([[*prompt, *answer]], device=model.device)
            logits = model(input_ids=ids, use_cache=False).logits[0].float()
            scores += _scored(logits[len(prompt) - 1 : -1], answer, [len(answer)])
        found.append(scores)
    return found
