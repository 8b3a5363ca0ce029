"""QLoRA on the CPU: an int4 base that is recorded, found again, and the very one that ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from graft.config import ModelSettings
from graft.errors import InputError
from graft.methods import METHODS
from graft.methods.adapter_folder import load_adapter
from graft.methods.base import trainable_parameters
from graft.methods.int4_linear import Int4Linear
from graft.methods.quantized import int4_weights, shipped_weights
from graft.models.base import link, load_model, resolve
from graft.models.int4 import dequantize
from prepared import prepared
from tiny_models import tiny_model_folder

QLORA = METHODS.get("qlora")
IDS = torch.arange(4, 24)[None]


def base_of(folder: Path) -> Any:
    return resolve(ModelSettings(model_name_or_path=str(folder)))


def a_run(folder: Path, base: Any, **settings: Any) -> tuple[Path, Any]:
    """A run folder as ``finetune`` leaves it, and the tuned model."""
    run = folder / "run"
    link(base, run / "model")
    tuned = prepared(QLORA, load_model(base), lora_r=4, **settings)
    optimizer = torch.optim.SGD([p for p in tuned.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):
        tuned(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    QLORA.save(tuned, run)
    recorded = {"name": base.name, "path": str(base.path), "sha256": base.sha256}
    (run / "manifest.json").write_text(json.dumps({"status": "finished", "base": recorded}), encoding="utf-8")
    return run, tuned.eval()


def test_all_is_quantised_and_tied_embeddings_have_the_heads_values(tmp_path: Path) -> None:
    """In the bundle they are one matrix: what is trained over is what ships."""
    base = base_of(tiny_model_folder(tmp_path))
    plain = load_model(base)
    tuned = prepared(QLORA, load_model(base), lora_r=4)
    names = {name for name, module in plain.named_modules() if isinstance(module, torch.nn.Linear)}
    assert set(int4_weights(tuned)) == names and "lm_head" in names and len(names) == 15
    assert torch.equal(tuned.get_input_embeddings().weight, tuned.get_output_embeddings().weight)
    assert not torch.equal(tuned.get_input_embeddings().weight, plain.get_input_embeddings().weight)
    heads = plain.lm_head.weight.numel()  # tied in the plain model, of its own here
    assert trainable_parameters(tuned)[1] - trainable_parameters(tuned)[0] == trainable_parameters(plain)[1] + heads
    assert {name for name, p in tuned.named_parameters() if p.requires_grad and "lora_" not in name} == set()


def test_what_is_trained_whole_stays_whole(tmp_path: Path) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    run, tuned = a_run(tmp_path, base, modules_to_save=("lm_head",))
    record = json.loads((run / "adapter" / "quantization.json").read_text(encoding="utf-8"))
    assert "lm_head" not in record["layers"] and len(record["layers"]) == 14
    with torch.no_grad():
        expected = tuned(input_ids=IDS).logits
        again = load_adapter(load_model(base), run / "adapter")
        assert torch.equal(again(input_ids=IDS).logits, expected)
        merged = again.merge_and_unload()
        merged.save_pretrained(tmp_path / "merged")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (tmp_path / "merged" / name).write_bytes((base.path / name).read_bytes())
        torch.testing.assert_close(
            load_model(base_of(tmp_path / "merged"))(input_ids=IDS).logits, expected, rtol=0, atol=1e-4
        )


def test_the_record_and_the_weights_that_ship(tmp_path: Path) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    run, tuned = a_run(tmp_path, base)
    record = json.loads((run / "adapter" / "quantization.json").read_text(encoding="utf-8"))
    assert (record["format"], record["bits"], record["block_size"], record["symmetric"]) == ("MatMulNBits", 4, 32, True)
    shipped, trained = shipped_weights(run), int4_weights(tuned)
    assert list(shipped) == record["layers"] and set(shipped) == set(trained)
    for name, weight in shipped.items():
        assert torch.equal(weight.packed, trained[name].packed) and torch.equal(weight.scales, trained[name].scales)
        assert weight.zero_points is None and weight.packed.shape[1:] == (weight.shape[1] // 32, 16)


@pytest.mark.parametrize("beside", [False, True], ids=["the base alone", "with the adapter in the graph"])
def test_the_builder_makes_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool) -> None:
    """The model builder of onnxruntime-genai, at its defaults, on the run's own model folder."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime_genai.models")
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    run, _ = a_run(tmp_path, base_of(tiny_model_folder(tmp_path)))
    given = ("", str(run / "model"), str(tmp_path / "onnx"), "int4", "cpu", str(tmp_path / "cache"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    options = ["hf_token=false"]
    if beside:
        parts = [f"attn/{part}_proj" for part in "qkvo"] + [f"mlp/{part}_proj" for part in ("gate", "up", "down")]
        nodes = [f"/model/layers.{n}/{part}/lora_{ab}/MatMul" for n in range(2) for part in parts for ab in "AB"]
        options += [f"adapter_path={run / 'adapter'}", f"nodes_to_exclude={','.join(nodes)}"]
    create_model(*given, **parse_extra_options(*given, options))
    graph = onnx.load(tmp_path / "onnx" / "model.onnx").graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    bits = {}
    for node in graph.node:
        if node.op_type == "MatMulNBits":
            assert len(node.input) == 3  # no zero points
            bits[node.name] = (tensors[node.input[1]], tensors[node.input[2]])
    shipped = shipped_weights(run)
    part = {name.replace("self_attn", "attn"): weight for name, weight in shipped.items()}
    fused = {
        "attn/qkv_proj": ("attn.q_proj", "attn.k_proj", "attn.v_proj"),
        "attn/o_proj": ("attn.o_proj",),
        "mlp/gate_proj": ("mlp.gate_proj",),
        "mlp/up_proj": ("mlp.up_proj",),
        "mlp/down_proj": ("mlp.down_proj",),
    }
    compared = 0
    for name, (packed, scales) in bits.items():
        layer = name.removesuffix("_Q4").removesuffix("/MatMul").strip("/").replace("model/", "")
        if layer == "lm_head":
            own = [part["lm_head"]]
        else:
            _, number, rest = layer.split(".")[0], layer.split(".")[1].split("/")[0], layer.split("/", 1)[1]
            own = [part[f"model.layers.{number}.{each}"] for each in fused.get(rest, (rest.replace("/", "."),))]
        # Blocks run along the input, so layers that are stacked keep each its own bits.
        assert (torch.cat([weight.packed for weight in own]).numpy() == packed).all(), name
        assert (torch.cat([weight.scales for weight in own]).numpy() == scales).all(), name
        compared += len(own)
    assert compared == len(shipped)


def test_another_base_is_refused(tmp_path: Path) -> None:
    run, _ = a_run(tmp_path, base_of(tiny_model_folder(tmp_path)))
    other = base_of(tiny_model_folder(tmp_path / "other", seed=5))
    with pytest.raises(InputError, match="differ from those that the adapter was trained on"):
        load_adapter(load_model(other), run / "adapter")
    with pytest.raises(InputError, match="no layer"):
        load_adapter(load_model(base_of(tiny_model_folder(tmp_path, "gpt2"))), run / "adapter")
    (run / "adapter" / "quantization.json").unlink()
    with pytest.raises(InputError, match="not trained on an int4 base"):
        shipped_weights(run)


@pytest.mark.parametrize("extra", [{"use_dora": True}, {"use_rslora": True}, {"target_modules": ("q_proj", "v_proj")}])
def test_variants(tmp_path: Path, extra: dict[str, Any]) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    run, tuned = a_run(tmp_path, base, **extra)
    with torch.no_grad():
        expected = tuned(input_ids=IDS).logits
        again = load_adapter(load_model(base), run / "adapter")
        assert torch.equal(again(input_ids=IDS).logits, expected)
        torch.testing.assert_close(again.merge_and_unload()(input_ids=IDS).logits, expected, rtol=0, atol=1e-4)


def test_memory_of_the_frozen_weights(tmp_path: Path) -> None:
    """By what the layers really hold: packed bytes and scales, and not a matrix beside them."""
    tuned = prepared(QLORA, load_model(base_of(tiny_model_folder(tmp_path))), lora_r=4)
    held = full = 0
    for module in tuned.modules():
        if isinstance(module, Int4Linear):
            assert not list(module.parameters())
            held += sum(buffer.untyped_storage().nbytes() for buffer in module.buffers())
            full += 4 * module.in_features * module.out_features
    assert 0 < held <= full / 4


def test_the_file_it_was_loaded_from_is_let_go(tmp_path: Path) -> None:
    """Tensors from safetensors lie in the mapped file: a single one left would keep the whole file in memory."""
    base = base_of(tiny_model_folder(tmp_path))
    model = load_model(base)
    before = {id(p) for p in model.parameters()}
    places = {p.untyped_storage().data_ptr() for p in model.parameters()}
    tuned = prepared(QLORA, model, lora_r=4)
    kept = [p for p in tuned.parameters() if id(p) in before]
    assert kept and not places & {p.untyped_storage().data_ptr() for p in kept}


def test_nf4_by_bitsandbytes(tmp_path: Path) -> None:
    """Its blocks are of 64, so the model is wider; it is in training mode, where no CPU repacks its weights."""
    pytest.importorskip("bitsandbytes")
    from transformers import LlamaConfig, LlamaForCausalLM

    def model() -> Any:
        torch.manual_seed(0)
        shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4}
        return LlamaForCausalLM(LlamaConfig(vocab_size=256, **shape)).train()

    tuned = prepared(QLORA, model(), lora_r=4, quantization="nf4")
    loss = tuned(input_ids=IDS, labels=IDS).loss
    loss.backward()
    assert abs(loss.item() - model()(input_ids=IDS, labels=IDS).loss.item()) < 0.05
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in tuned.parameters() if p.requires_grad)
    QLORA.save(tuned, tmp_path)
    record = json.loads((tmp_path / "adapter" / "quantization.json").read_text(encoding="utf-8"))
    assert record["format"] == "nf4" and len(record["layers"]) == 8
    again = load_adapter(model(), tmp_path / "adapter", trainable=True)
    torch.testing.assert_close(again(input_ids=IDS, labels=IDS).loss, loss, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_an_adapter_over_nf4_is_merged_into_the_values_that_it_was_trained_on(tmp_path: Path, tied: bool) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import LlamaConfig, LlamaForCausalLM

    def model() -> Any:
        torch.manual_seed(0)
        shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4}
        return LlamaForCausalLM(LlamaConfig(vocab_size=256, tie_word_embeddings=tied, **shape))

    tuned = prepared(QLORA, model(), lora_r=4, quantization="nf4")
    torch.manual_seed(1)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    QLORA.save(tuned, tmp_path)
    judged = tuned.train()(input_ids=IDS).logits.detach()
    plain = load_adapter(model(), tmp_path / "adapter", as_float=True).eval()
    torch.testing.assert_close(plain(input_ids=IDS).logits, judged, rtol=0, atol=1e-5)
    merged = plain.merge_and_unload()
    torch.testing.assert_close(merged(input_ids=IDS).logits, judged, rtol=0, atol=1e-4)
    effect = (judged - model()(input_ids=IDS).logits).abs().max()
    assert effect > 0.1 and not any("4bit" in type(module).__name__ for module in merged.modules())


def test_dequantised_weights_are_near(tmp_path: Path) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    plain = load_model(base)
    for name, weight in int4_weights(prepared(QLORA, load_model(base))).items():
        original = plain.get_submodule(name).weight
        error = (dequantize(weight.packed, weight.scales, weight.shape[1]) - original).norm() / original.norm()
        assert error < 0.15
