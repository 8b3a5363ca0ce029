"""What rounding has changed, made good by the scales of the last layers: a few steps towards the model's own answers.

Only the blocks' scales move (as in PEQA, Kim et al. 2023, arXiv:2305.14152, there for tuning), so the weights stay what
they are in size and in kind. What is followed is the whole distribution of the float model at the tokens of the answers
(distillation, Hinton et al. 2015). Below the last layers nothing changes, so that their inputs are computed once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from graft.deploy.gptq import Blocks

Progress = Callable[[int, int], None]

WEIGHTS = 40_000_000
"""The last layers with so many weights together, whose gradients a laptop has room and time for."""

STEPS = 24
PEAK = 4e-3
"""The largest step of a scale, as a share of it."""

TARGETS = 256
"""Tokens whose distributions are followed in a step."""


@dataclass
class Lesson:
    """Rows as they come to the last layers: ``run`` takes ``hidden`` through these and the final norm, to the states
    (tokens, d) that the head reads where an answer's tokens are to come; ``wanted`` are the float model's there."""

    run: Callable[[], torch.Tensor]
    wanted: torch.Tensor


class _Scales(nn.Module):
    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        rows, count = blocks.scales.shape
        centred = blocks.levels.reshape(rows, count, -1).astype(np.float32) - blocks.zeros[..., None]
        self.register_buffer("centred", torch.from_numpy(centred) * torch.from_numpy(blocks.scales)[..., None])
        self.change = nn.Parameter(torch.zeros(rows, count))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        centred: Any = self.centred
        scaled: torch.Tensor = centred * (1 + self.change)[..., None]
        return scaled.view(weight.shape)


def heal(
    blocks: Mapping[str, Blocks],
    modules: Mapping[str, nn.Module],
    learned: Sequence[Lesson],
    kept_back: Sequence[Lesson],
    heads: tuple[torch.Tensor, torch.Tensor],
    progress: Progress | None = None,
) -> dict[str, Blocks]:
    """``blocks`` (those of ``modules``, by name) with the scales that bring the answers closest; as they were where
    that does not show on the lessons that are ``kept_back``.

    ``heads`` (vocabulary, d) give the float model's logits and those of the rounded one.
    """
    random = torch.Generator().manual_seed(0)
    order = torch.randperm(len(learned), generator=random).tolist()
    with _scaled(blocks, modules) as scales, torch.enable_grad():
        before = _mean(kept_back, heads)
        optimiser = torch.optim.Adam([one.change for one in scales.values()], lr=PEAK, betas=(0.9, 0.95))
        for step in range(STEPS):
            for group in optimiser.param_groups:
                group["lr"] = PEAK * min(1.0, (step + 1) / 3) * (0.5 + 0.5 * math.cos(math.pi * step / STEPS))
            optimiser.zero_grad()
            loss: Any = _divergence(learned[order[step % len(order)]], heads, random)
            loss.backward()
            optimiser.step()
            if progress:
                progress(step + 1, STEPS)
        after = _mean(kept_back, heads)
        changes = {name: one.change.detach().numpy() for name, one in scales.items()}
    if not after < before:
        return dict(blocks)
    return {name: replace(one, scales=one.scales * (1 + changes[name])) for name, one in blocks.items()}


@torch.no_grad()
def _mean(lessons: Sequence[Lesson], heads: tuple[torch.Tensor, torch.Tensor]) -> float:
    return sum(float(_divergence(lesson, heads, None)) for lesson in lessons) / len(lessons)


def _divergence(
    lesson: Lesson, heads: tuple[torch.Tensor, torch.Tensor], random: torch.Generator | None
) -> torch.Tensor:
    """KL(float ‖ rounded) in nats, the mean over the tokens of answers; some of them where there are many."""
    found = lesson.run()
    chosen = torch.arange(len(found))
    if len(found) > TARGETS:
        chosen = torch.randperm(len(found), generator=random)[:TARGETS] if random is not None else chosen[:TARGETS]
    wanted = (lesson.wanted[chosen] @ heads[0].T).log_softmax(-1)
    logits = (found[chosen] @ heads[1].T).log_softmax(-1)
    return (wanted.exp() * (wanted - logits)).sum(-1).mean()


@contextmanager
def _scaled(blocks: Mapping[str, Blocks], modules: Mapping[str, nn.Module]) -> Iterator[dict[str, _Scales]]:
    """The modules with weights made of ``blocks`` and of scales that can move; as they were afterwards."""
    scales = {name: _Scales(one) for name, one in blocks.items()}
    with ExitStack() as stack:
        for name, scale in scales.items():
            module = modules[name]
            module.requires_grad_(False)
            parametrize.register_parametrization(module, "weight", scale, unsafe=True)
            stack.callback(_plain, module)
        yield scales


def _plain(module: Any) -> None:
    original = module.parametrizations.weight.original.data
    parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
    module.weight.data = original
