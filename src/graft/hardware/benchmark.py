"""Measures the speed of matrix products on this machine in each number format.

These are PyTorch's and onnxruntime's products. What the engine trains with is timed by ``graft.engine.benchmark``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from graft.processes import without_telemetry

ROWS, INNER, COLUMNS = 512, 1024, 1024
"""Tokens of a small batch times a layer of a small model."""
MOST_HIDDEN, MOST_INNER = 1536, 4096
"""Of larger layers a part is measured: the formats compare alike, and a pass takes less than a second."""
LAYERS, SEQUENCES, HEAD, RANK = 2, 8, 64, 16
ROUNDS = 3
"""Formats take turns, and the best turn counts: a process that is busy for a moment slows one turn of one format."""


def gemm_rates(seconds: float = 0.6, device: str = "cpu", threads: int | None = None) -> dict[str, float]:
    """Rates of the product ``(512, 1024) @ (1024, 1024)`` by number format.

    Args:
        seconds: For all formats together, besides a first product of each that warms up.
        device: A torch device.
        threads: PyTorch's present number when None.

    Returns:
        GFLOP/s (int8: GOP/s) of float32, bfloat16, float16 and, on the CPU, int8 by oneDNN and int4 by onnxruntime's
        MatMulNBits, which int4 bundles run on. Formats that cannot be computed here are omitted.
    """
    import torch

    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        return _in_turns(_products(device), seconds, device, operations=2 * ROWS * INNER * COLUMNS)
    finally:
        torch.set_num_threads(before)


def _in_turns(works: dict[str, Callable[[], Any]], seconds: float, device: str, operations: float) -> dict[str, float]:
    """GFLOP/s of each that runs, from its best turn."""
    works = {name: work for name, work in works.items() if _runs(work)}
    turn = seconds / ROUNDS / max(len(works), 1)
    best = dict.fromkeys(works, 0.0)
    for _ in range(ROUNDS):
        for name, work in works.items():
            best[name] = max(best[name], _rate(work, turn, device) * operations / 1e9)
    return {name: round(rate, 1) for name, rate in best.items()}


def memory_bandwidth(seconds: float = 0.3) -> float:
    """Bytes per second that a product of a large float32 matrix with a vector reads: the bound of writing a token."""
    import torch

    matrix, vector = torch.ones(4096, 8192), torch.ones(8192)
    return _rate(lambda: matrix @ vector, seconds, "cpu") * matrix.nbytes


def training_rates(
    hidden: int = 576, inner: int = 1536, seconds: float = 0.8, device: str = "cpu", formats: tuple[str, ...] = ()
) -> dict[str, float]:
    """Rates of the frozen layers in a forward and a backward pass, by number format: what training notices of it.

    Two decoder layers with frozen float32 weights and LoRA beside each of them, over 8 rows of 64 tokens; formats other
    than float32 by autocast. Products alone would overstate the gain: casts, attention and elementwise operations gain
    little.

    Args:
        hidden: Features of the layers.
        inner: Features within their MLP.
        seconds: For all formats together.
        device: A torch device.
        formats: Formats besides float32: bfloat16, float16.

    Returns:
        GFLOP/s by format; those that cannot be computed here are omitted.
    """
    hidden, inner = min(hidden, MOST_HIDDEN) // HEAD * HEAD or HEAD, min(inner, MOST_INNER)
    passes = {name: _pass(hidden, inner, device, name) for name in ("float32", *formats)}
    products = 4 * hidden * hidden + 3 * hidden * inner
    return _in_turns(passes, seconds, device, operations=2 * LAYERS * 2 * ROWS * products)


class _LoraWeights(NamedTuple):
    frozen: Any
    a: Any
    b: Any


def _pass(hidden: int, inner: int, device: str, name: str) -> Callable[[], Any]:
    """A forward and a backward pass: the weights are frozen, so each has two products."""
    import torch
    from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

    generator = torch.Generator().manual_seed(0)

    def weight(rows: int, columns: int) -> Any:
        """A random weight (rows, columns) on ``device``, scaled to keep the variance of what it multiplies."""
        return (torch.randn(rows, columns, generator=generator) / columns**0.5).to(device)

    def layer(rows: int, columns: int) -> _LoraWeights:
        adapter = weight(RANK, columns).requires_grad_(), weight(rows, RANK).requires_grad_()
        return _LoraWeights(weight(rows, columns), *adapter)

    def tuned(x: Any, layer: _LoraWeights) -> Any:
        """A linear layer with its adapter: x (…, columns) -> (…, rows)."""
        return linear(x, layer.frozen) + linear(linear(x, layer.a), layer.b)

    def heads(x: Any) -> Any:
        """x (ROWS, hidden) -> (SEQUENCES, heads, tokens, HEAD)."""
        return x.view(SEQUENCES, -1, hidden // HEAD, HEAD).transpose(1, 2)

    shapes = [(hidden, hidden)] * 4 + [(inner, hidden)] * 2 + [(hidden, inner)]
    layers = [[layer(*shape) for shape in shapes] for _ in range(LAYERS)]
    trained = [part for parts in layers for one in parts for part in (one.a, one.b)]
    tokens, dtype = weight(ROWS, hidden), getattr(torch, name)

    def both_ways() -> None:
        """All layers forward, then the gradients of the adapters alone."""
        x = tokens
        with torch.autocast(device.partition(":")[0], dtype=dtype, enabled=dtype != torch.float32):
            for q, k, v, o, gate, up, down in layers:
                normed = rms_norm(x, (hidden,))
                queries, keys, values = (heads(tuned(normed, to)) for to in (q, k, v))
                attended = scaled_dot_product_attention(queries, keys, values, is_causal=True)
                x = x + tuned(attended.transpose(1, 2).reshape(ROWS, hidden), o)
                normed = rms_norm(x, (hidden,))
                x = x + tuned(silu(tuned(normed, gate)) * tuned(normed, up), down)
        torch.autograd.grad(x.float().sum(), trained)

    return both_ways


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
    return found | ({"int8": _int8_product(left, right), "int4": _int4_product()} if device == "cpu" else {})


def _int8_product(left: Any, right: Any) -> Callable[[], Any]:
    """oneDNN's, with uint8 activations and weights scaled by row."""
    import torch

    packed: list[Any] = []
    tokens = left.mul(30).add(128).clamp(0, 255).to(torch.uint8)
    scales, zeros = torch.full((COLUMNS,), 1 / 30), torch.zeros(COLUMNS, dtype=torch.int64)

    def product() -> Any:
        """Multiply; the first call packs the weight."""
        if not packed:
            packed.append(
                torch.ops.onednn.qlinear_prepack(right.mul(30).clamp(-127, 127).to(torch.int8), [ROWS, INNER])
            )
        return torch.ops.onednn.qlinear_pointwise(
            tokens, 1 / 30, 128, packed[0], scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )

    return product


def _int4_product() -> Callable[[], Any]:
    """onnxruntime's, in blocks of 32 weights with a scale each; its session is made at the first call."""
    prepared: list[Any] = []

    def product() -> Any:
        """Multiply; the first call makes the session."""
        if not prepared:
            import numpy as np

            tokens = np.random.default_rng(0).standard_normal((ROWS, INNER), dtype=np.float32)
            prepared.extend((_int4_session(), {"x": tokens}))
        session, feed = prepared
        return session.run(None, feed)

    return product


def _int4_session() -> Any:
    import numpy as np
    import onnx

    without_telemetry()
    import onnxruntime

    blocks, random = INNER // 32, np.random.default_rng(0)
    constants = [
        onnx.numpy_helper.from_array(random.integers(0, 255, (COLUMNS, blocks, 16), dtype=np.uint8), "weight"),
        onnx.numpy_helper.from_array(np.ones((COLUMNS, blocks), np.float32), "scales"),
    ]
    sizes: dict[str, Any] = {"K": INNER, "N": COLUMNS, "bits": 4, "block_size": 32, "accuracy_level": 4}
    node = onnx.helper.make_node("MatMulNBits", ["x", "weight", "scales"], ["y"], domain="com.microsoft", **sizes)
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [ROWS, INNER])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [ROWS, COLUMNS])
    graph = onnx.helper.make_graph([node], "product", [x], [y], constants)
    domains = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=domains, ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def _runs(product: Callable[[], Any]) -> bool:
    try:
        product()
    except Exception:  # this build, or a package that is not installed, has no such product
        return False
    return True


def _rate(product: Callable[[], Any], seconds: float, device: str) -> float:
    """How often per second, over ``seconds``; on a GPU each is waited for."""
    import torch

    def finish() -> None:
        """Wait for a CUDA device, which computes asynchronously."""
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    finish()
    began = time.perf_counter()
    count = 0
    while count == 0 or time.perf_counter() - began < seconds:
        product()
        finish()
        count += 1
    return count / (time.perf_counter() - began)
