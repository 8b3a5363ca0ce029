"""How fast this machine multiplies matrices in each number format: measured, since no list of processors says it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

ROWS, INNER, COLUMNS = 512, 1024, 1024
"""Tokens of a small batch times a layer of a small model."""
ROUNDS = 3
"""Formats take turns, and the best turn counts: a neighbour who is busy for a moment slows one turn of one format."""


def gemm_rates(seconds: float = 0.6, device: str = "cpu", threads: int | None = None) -> dict[str, float]:
    """GFLOP/s (int8: GOP/s) of ``(512, 1024) @ (1024, 1024)``, by format: float32, bfloat16, float16, int8.

    A format that cannot be computed here is left out. ``seconds`` is for all of them together, besides a first
    product each that warms up. ``device`` is a torch device; ``threads`` as torch has it when None.
    """
    import torch

    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        products = {name: product for name, product in _products(device).items() if _runs(product)}
        turn = seconds / ROUNDS / max(len(products), 1)
        best = dict.fromkeys(products, 0.0)
        for _ in range(ROUNDS):
            for name, product in products.items():
                best[name] = max(best[name], _rate(product, turn, device))
    finally:
        torch.set_num_threads(before)
    return {name: round(rate, 1) for name, rate in best.items()}


def _products(device: str) -> dict[str, Callable[[], Any]]:
    import torch
    from torch.nn.functional import linear

    generator = torch.Generator().manual_seed(0)
    left = torch.randn(ROWS, INNER, generator=generator).to(device)
    right = torch.randn(COLUMNS, INNER, generator=generator).to(device)

    def floating(dtype: torch.dtype) -> Callable[[], Any]:
        a, b = left.to(dtype), right.to(dtype)
        return lambda: linear(a, b)

    found = {name: floating(getattr(torch, name)) for name in ("float32", "bfloat16", "float16")}
    return found | ({"int8": _int8_product(left, right)} if device == "cpu" else {})


def _int8_product(left: Any, right: Any) -> Callable[[], Any]:
    """oneDNN's, with uint8 activations and weights scaled by row: what an int8 layer does."""
    import torch

    packed: list[Any] = []
    tokens = left.mul(30).add(128).clamp(0, 255).to(torch.uint8)
    scales, zeros = torch.full((COLUMNS,), 1 / 30), torch.zeros(COLUMNS, dtype=torch.int64)

    def product() -> Any:
        if not packed:
            packed.append(
                torch.ops.onednn.qlinear_prepack(right.mul(30).clamp(-127, 127).to(torch.int8), [ROWS, INNER])
            )
        return torch.ops.onednn.qlinear_pointwise(
            tokens, 1 / 30, 128, packed[0], scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )

    return product


def _runs(product: Callable[[], Any]) -> bool:
    try:
        product()
    except (RuntimeError, NotImplementedError, AttributeError, TypeError):
        return False
    return True


def _rate(product: Callable[[], Any], seconds: float, device: str) -> float:
    """Products go on for ``seconds``; on a GPU they are waited for."""
    import torch

    def finish() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    finish()
    began = time.perf_counter()
    count = 0
    while count == 0 or time.perf_counter() - began < seconds:
        product()
        finish()
        count += 1
    return 2 * ROWS * INNER * COLUMNS * count / (time.perf_counter() - began) / 1e9
