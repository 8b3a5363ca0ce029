"""How fast this machine multiplies matrices in each precision, measured."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

ROWS, COLUMNS = 512, 1536
"""About what a batch of tokens and a layer of a small model are."""

REPEATS = 5


def gemm_rates() -> dict[str, float | None]:
    """Precision -> GFLOP/s of a matrix product (512 × 1536 × 1536), median of five; None where it is not there."""
    return {
        "fp32": _rate(_float_product("float32")),
        "bf16": _rate(_float_product("bfloat16")),
        "int8": _rate(_int8_product),
        "int4 weights": _rate(_int4_product),
    }


def choice(rates: dict[str, float | None]) -> str:
    """The precision that training's frozen layers are quickest in; float32 unless another is a fifth quicker."""
    best, rate = "fp32", rates.get("fp32") or 0.0
    for name in ("bf16", "int8"):
        found = rates.get(name)
        if found is not None and found > 1.2 * rate:
            best, rate = name, found
    return best


def _rate(make: Callable[[], Callable[[], Any]]) -> float | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = make()
            run()
            seconds = []
            for _ in range(REPEATS):
                started = time.perf_counter()
                run()
                seconds.append(time.perf_counter() - started)
    except Exception:  # no such kernel in this build, or no such package: there is no rate
        return None
    return round(2 * ROWS * COLUMNS * COLUMNS / statistics.median(seconds) / 1e9, 1)


def _float_product(dtype: str) -> Callable[[], Callable[[], Any]]:
    def make() -> Callable[[], Any]:
        import torch

        kind = getattr(torch, dtype)
        left, right = torch.randn(ROWS, COLUMNS).to(kind), torch.randn(COLUMNS, COLUMNS).to(kind)
        return lambda: left @ right

    return make


def _int8_product() -> Callable[[], Any]:
    """oneDNN's int8 product, with VNNI where the CPU has it."""
    import torch

    operations: Any = torch.ops.onednn
    left = torch.randint(0, 255, (ROWS, COLUMNS), dtype=torch.uint8)
    weight = operations.qlinear_prepack(torch.randint(-127, 127, (COLUMNS, COLUMNS), dtype=torch.int8), [ROWS, COLUMNS])
    scales, zeros = torch.ones(COLUMNS), torch.zeros(COLUMNS, dtype=torch.int64)
    given: tuple[Any, ...] = (left, 1.0, 128, weight, scales, zeros, None, 1.0, 0, torch.float32, "none", [], "")
    return lambda: operations.qlinear_pointwise(*given)


def _int4_product() -> Callable[[], Any]:
    """onnxruntime's MatMulNBits: what an int4 bundle runs on."""
    import numpy as np
    import onnx
    import onnxruntime

    blocks = COLUMNS // 32
    random = np.random.default_rng(0)
    constants = [
        onnx.numpy_helper.from_array(random.integers(0, 255, (COLUMNS, blocks, 16), dtype=np.uint8), "weight"),
        onnx.numpy_helper.from_array(np.ones((COLUMNS, blocks), np.float32), "scales"),
    ]
    node = onnx.helper.make_node(
        "MatMulNBits",
        ["x", "weight", "scales"],
        ["y"],
        domain="com.microsoft",
        K=COLUMNS,
        N=COLUMNS,
        bits=4,
        block_size=32,
        accuracy_level=4,
    )
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [ROWS, COLUMNS]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([node], "product", ends[:1], ends[1:], constants)
    domains = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=domains, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {"x": random.standard_normal((ROWS, COLUMNS), dtype=np.float32)}
    return lambda: session.run(None, feed)
