"""Int4 weights: the bits that onnxruntime's quantizer makes, and the values that its kernel computes with."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from graft.models import int4
from graft.models.int4 import dequantize, quantize, sha256_of_weights


def some_weights(kind: str, rows: int, columns: int) -> torch.Tensor:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows * columns))
    if kind == "ties":
        weight = (weight * 4).round() / 4
    if kind == "zeros":
        weight[:, : columns // 2] = 0
    if kind == "one sign":
        weight = -weight.abs() * 1e-4
    return weight


def by_onnxruntime(weight: torch.Tensor) -> tuple[Any, Any]:
    quantizer = pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer")
    config = quantizer.DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=True)
    packed, scales, _ = quantizer.DefaultWeightOnlyQuantizer(config).qbits_block_quant(weight.T.contiguous().numpy())
    return packed, scales


@pytest.mark.parametrize("kind", ["plain", "ties", "zeros", "one sign"])
@pytest.mark.parametrize("shape", [(64, 64), (33, 50), (5, 576), (3, 32)])
def test_bits_of_onnxruntime(monkeypatch: pytest.MonkeyPatch, kind: str, shape: tuple[int, int]) -> None:
    monkeypatch.setattr(int4, "AT_ONCE", 1000)
    weight = some_weights(kind, *shape)
    packed, scales = by_onnxruntime(weight)
    found = quantize(weight)
    assert (found.packed.numpy() == packed).all()
    assert (found.scales.numpy() == scales).all()
    assert found.zero_points is None and found.shape == shape


def test_values_of_the_kernel() -> None:
    """MatMulNBits on the identity gives the matrix that it computes with."""
    onnxruntime = pytest.importorskip("onnxruntime")
    helper = pytest.importorskip("onnx.helper")
    weight = some_weights("plain", 48, 64)
    found = quantize(weight)
    tensor = onnxruntime.OrtValue.ortvalue_from_numpy
    inputs = {
        "a": torch.eye(64).numpy(),
        "b": found.packed.numpy(),
        "scales": found.scales.numpy(),
    }
    names = {"a": 1, "b": 2, "scales": 1}  # FLOAT, UINT8
    node = helper.make_node(
        "MatMulNBits", list(names), ["y"], domain="com.microsoft", K=64, N=48, bits=4, block_size=32
    )
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(name, kind, inputs[name].shape) for name, kind in names.items()],
        [helper.make_tensor_value_info("y", 1, (64, 48))],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)], ir_version=10
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (values,) = session.run(None, {name: tensor(value).numpy() for name, value in inputs.items()})
    computed = dequantize(found.packed, found.scales, 64)
    assert torch.equal(torch.from_numpy(values).T, computed)
    blocks = (weight - computed).view(48, 2, 32).abs().amax(-1)
    assert (blocks <= found.scales.abs() * 1.0001).all()  # where the range has no level, a whole step


def test_any_number_of_inputs_and_bytes() -> None:
    weight = some_weights("plain", 6, 45)
    found = quantize(weight)
    assert dequantize(found.packed, found.scales, 45).shape == (6, 45)
    assert (weight - dequantize(found.packed, found.scales, 45)).abs().max() < found.scales.abs().max() * 1.01
    large = quantize(some_weights("plain", 64, 1024))
    assert large.nbytes == 64 * 1024 * 5 // 8  # 4 bits, and 32 for 32 weights


def test_hash() -> None:
    one, other = quantize(some_weights("plain", 8, 32)), quantize(some_weights("ties", 8, 32))
    assert sha256_of_weights({"a": one, "b": other}) == sha256_of_weights({"b": other, "a": one})
    assert sha256_of_weights({"a": one}) != sha256_of_weights({"a": other}) != sha256_of_weights({"b": other})
