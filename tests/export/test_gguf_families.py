"""What graft writes as GGUF is what llama.cpp reads: each family's logits and greedy answers, by llama.cpp itself."""

import gguf
import numpy as np
import pytest
import torch

from gguf_models import gguf_model
from graft.errors import InputError
from graft.export.gguf.families import GGUF_FAMILIES
from graft.export.gguf.writer import write_gguf
from graft.export.quantize.calibrate import quantize_linears
from graft.inference.llama_cpp import LlamaCpp
from tiny_models import tiny_model_tokenizer

BOUND = {"silu": 1e-4, "gelu": 1e-2}
"""Of log-probabilities whose standard deviation is 1 and more. llama.cpp looks GELU up in a table of float16."""
ROWS, ANSWER = 32, 16
SCALED = {
    "linear": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "rope_theta": 10000.0},
    "yarn with a factor": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 32,
        "attention_factor": 1.3,
        "rope_theta": 10000.0,
    },
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
        "rope_theta": 10000.0,
    },
    "dynamic": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
}


def _prompts(rows=ROWS):
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(4, 381, (3 + 2 * row,), generator=generator).tolist() for row in range(rows)]


def _written(model, file, precision="float32", tokenizer=None):
    write_gguf(model, tokenizer or tiny_model_tokenizer(), file, precision, {}, name="tiny", license=None)
    return file


def _logprobs(model, prompts):
    with torch.no_grad():
        return torch.stack([model(torch.tensor([ids])).logits[0, -1].log_softmax(-1) for ids in prompts])


def _difference(model, file, prompts):
    with LlamaCpp(file, threads=1) as runtime:
        found = torch.tensor(runtime.first_logprobs(prompts))
    wanted = _logprobs(model, prompts)
    assert wanted.std() > 1
    return float((found - wanted).abs().max())


def _answers(model, prompts, ends):
    found = []
    for ids in prompts:
        whole = model.generate(
            torch.tensor([ids]), max_new_tokens=ANSWER, do_sample=False, eos_token_id=ends, pad_token_id=ends[0]
        )
        answer = whole[0, len(ids) :].tolist()
        found.append(answer[:-1] if answer and answer[-1] in ends else answer)
    return found


def _bound(model_type):
    return BOUND["silu" if "silu" in GGUF_FAMILIES[model_type].activations else "gelu"]


@pytest.mark.parametrize("model_type", GGUF_FAMILIES)
def test_llama_cpp_answers_as_pytorch_does(model_type, tmp_path):
    model, tokenizer, prompts = gguf_model(model_type), tiny_model_tokenizer(), _prompts()
    # llama.cpp ends an answer at tokens with these names, whatever a file says.
    ends = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    with LlamaCpp(_written(model, tmp_path / "m.gguf"), threads=1) as runtime:
        answers = runtime.generate(prompts, ANSWER, ends)
        found = torch.tensor(runtime.first_logprobs(prompts[:8]))
    assert (found - _logprobs(model, prompts[:8])).abs().max() < _bound(model_type)
    wanted = _answers(model, prompts, ends)
    assert answers == wanted
    assert sum(map(len, wanted)) > ROWS * ANSWER / 4


@pytest.mark.parametrize(
    ("model_type", "kind"), [*(("llama", kind) for kind in SCALED), ("qwen2", "yarn"), ("granite", "llama3")]
)
def test_scaled_rotary_embeddings(model_type, kind, tmp_path):
    model = gguf_model(model_type, rope_parameters=SCALED[kind])
    assert _difference(model, _written(model, tmp_path / "m.gguf"), _prompts(24)[-8:]) < BOUND["silu"]


def test_long_rope_within_the_length_of_its_short_factors(tmp_path):
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "original_max_position_embeddings": 256,
        "short_factor": [1.0 + 0.1 * place for place in range(8)],
        "long_factor": [2.0 + place for place in range(8)],
    }
    model = gguf_model("phi3", rope_parameters=rope, original_max_position_embeddings=256)
    file = _written(model, tmp_path / "m.gguf")
    prompts = [prompt for prompt in _prompts(24)[-8:] if len(prompt) < 60]
    assert _difference(model, file, prompts) < BOUND["silu"]
    assert _context(file, "phi3") == 256


def test_gemma_3_scales_the_layers_without_a_window_alone(tmp_path):
    rope = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    }
    model = gguf_model(
        "gemma3_text", rope_parameters=rope, layer_types=["sliding_attention", "full_attention"] * 2, vocab_size=381
    )
    assert _difference(model, _written(model, tmp_path / "m.gguf"), _prompts(24)[-8:]) < BOUND["gelu"]


@pytest.mark.parametrize("model_type", ["llama", "gpt_neox", "phi3", "gemma2", "cohere2", "qwen2_moe"])
def test_rounded_weights_have_the_order_of_the_others(model_type, tmp_path):
    model = gguf_model(model_type)
    blocks = quantize_linears(model, {})
    file = tmp_path / "int4.gguf"
    write_gguf(model, tiny_model_tokenizer(), file, "int4", blocks, name="tiny", license=None)
    with torch.no_grad():
        for name, one in blocks.items():
            model.get_submodule(name).weight.copy_(torch.from_numpy(one.dequantize()))
    whole = _tensors(_written(model, tmp_path / "m.gguf"))
    found, layers = _tensors(file), 0
    for name, tensor in found.items():
        if tensor.ndim == 2 and name != "token_embd.weight" and "ffn_gate_inp" not in name:  # not rounded, or not so
            layers += 1
            np.testing.assert_allclose(tensor, whole[name], rtol=0, atol=2e-3 * np.abs(whole[name]).max(), err_msg=name)
    assert layers > len(blocks) / 2


def _tensors(file):
    tensors = gguf.GGUFReader(file).tensors
    return {one.name: gguf.quants.dequantize(one.data, one.tensor_type) for one in tensors}


@pytest.mark.parametrize(("model_type", "window"), [("mistral", 64), ("phi3", 48), ("qwen2", 32), ("starcoder2", 32)])
def test_the_context_ends_at_a_window_that_llama_cpp_does_not_know(model_type, window, tmp_path):
    other = {"use_sliding_window": True, "max_window_layers": 0} if model_type == "qwen2" else {}
    file = _written(gguf_model(model_type, sliding_window=window, **other), tmp_path / "m.gguf")
    assert _context(file, {"mistral": "llama"}.get(model_type, model_type)) == window


def _context(file, architecture):
    return gguf.GGUFReader(file).get_field(f"{architecture}.context_length").contents()


@pytest.mark.parametrize("precision", ["float16", "int8", "int4"])
@pytest.mark.parametrize("model_type", ["llama", "gemma2", "gpt2", "qwen3_moe", "phi3"])
def test_every_precision_is_read(model_type, precision, tmp_path):
    model = gguf_model(model_type)
    allowed = {"float16": 0.3, "int8": 1.5, "int4": 12.0}[precision]
    assert _difference(model, _written(model, tmp_path / "m.gguf", precision), _prompts(4)) < allowed


@pytest.mark.parametrize("model_type", ["qwen2", "llama", "gpt2"])
def test_more_embeddings_than_tokens(model_type, tmp_path):
    model = gguf_model(model_type, rows=len(tiny_model_tokenizer()) + 27)
    assert _difference(model, _written(model, tmp_path / "m.gguf"), _prompts(4)) < _bound(model_type)


def test_fewer_embeddings_than_tokens_are_an_error(tmp_path):
    with pytest.raises(InputError, match="381 tokens and the model 380 embeddings"):
        _written(gguf_model("llama", rows=380), tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()


@pytest.mark.parametrize(
    ("model_type", "other", "said"),
    [
        ("gemma2", {"query_pre_attn_scalar": 256}, "query_pre_attn_scalar 256"),
        ("gemma2", {"tie_word_embeddings": False}, "a head that is not the embedding"),
        ("smollm3", {"no_rope_layers": [1, 1, 1, 1]}, "no_rope_layers"),
        ("llama", {"hidden_act": "relu"}, "the activation 'relu'"),
        ("llama", {"rope_parameters": {**SCALED["yarn"], "beta_slow": 2.0}}, "beta_slow 2.0"),
        ("hunyuan_v1_dense", {"rope_parameters": {**SCALED["dynamic"], "alpha": 1000.0}}, "alpha 1000.0"),
        ("qwen3_moe", {"norm_topk_prob": False}, "norm_topk_prob"),
        ("qwen2", {"rope_parameters": SCALED["llama3"]}, "rotary embeddings of the type 'llama3'"),
    ],
)
def test_what_llama_cpp_would_compute_differently_is_refused(model_type, other, said, tmp_path):
    with pytest.raises(InputError, match=said):
        _written(gguf_model(model_type, **other), tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()
