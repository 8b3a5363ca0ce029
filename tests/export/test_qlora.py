"""A qlora run ships the int4 weights it was trained on, bit for bit, with its adapter beside them in the graph."""

import numpy as np
import onnx
import pytest

from graft.commands.export import export_model
from graft.config import OnnxGenaiConfig
from graft.errors import InputError
from graft.export.adapter_placement import placements
from graft.export.onnx.graph import name_of, node_of
from graft.methods.quantized import shipped_weights
from graft.models.base import open_run_or_model
from small_runs import bundle_document, tune


@pytest.fixture(scope="module")
def run(learned, tone, tmp_path_factory):
    return tune(learned, tone, tmp_path_factory.mktemp("runs") / "qlora", method="qlora", learning_rate=1e-3)


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    return export_model({"model_name_or_path": str(run), "output_path": str(tmp_path_factory.mktemp("q") / "onnx")})


def test_the_weights_are_those_of_the_training_bit_for_bit(run, bundle):
    graph = onnx.load(bundle / "model.onnx").graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = {name_of(node): node for node in graph.node if node.op_type == "MatMulNBits"}
    trained = shipped_weights(run)
    assert set(nodes) == {node_of(module) for module in trained}
    for module, weight in trained.items():
        packed, scales = (tensors[name] for name in nodes[node_of(module)].input[1:3])
        assert packed.tobytes() == weight.packed.numpy().tobytes(), module
        assert scales.tobytes() == weight.scales.numpy().tobytes(), module


def test_the_adapter_stands_beside_them_in_float32_and_the_gate_is_passed(run, bundle):
    from safetensors.numpy import load_file

    graph = onnx.load(bundle / "model.onnx").graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    module = "model.layers.0.self_attn.q_proj"
    first = load_file(run / "adapter" / "adapter_model.safetensors")[f"base_model.model.{module}.lora_A.weight"]
    assert np.array_equal(tensors[f"{module}.lora_A"], first.T)
    said = bundle_document(bundle)
    assert said["rounding"] == "trained" and said["adapter"]["placement"] == "unmerged"
    assert said["status"] == "finished" and said["parity"]["passed"]


def test_merged_on_request_it_is_rounded_again(run, tmp_path):
    said = bundle_document(
        export_model(
            {
                "model_name_or_path": str(run),
                "output_path": str(tmp_path / "merged"),
                "adapter": "merge",
                "max_accuracy_drop": 0.9,
            }
        )
    )
    assert said["rounding"] == "gptq" and said["adapter"]["placement"] == "merged"


@pytest.mark.parametrize("option", [{"precision": "float32"}, {"rounding": "gptq"}])
def test_its_adapter_is_switched_over_its_own_weights_alone(run, tmp_path, option):
    given = {"model_name_or_path": str(run), "output_path": str(tmp_path / "x"), "adapter": "switch", **option}
    with pytest.raises(InputError, match="int4 weights that it was trained on"):
        export_model(given)
    assert not list(tmp_path.iterdir())
    config = OnnxGenaiConfig(rounding=option.get("rounding", "auto"))
    assert placements(config, option.get("precision", "int4"), open_run_or_model(run)) == ["merged"]
