import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from graft.engine import (
    QUANTIZED_WEIGHTS,
    fused,
    lora_kernels,
    lora_reference,
    pack,
    packed_loss,
    plain_collate,
    plain_loss,
    score,
)
from graft.engine.autograd import rms_norm, swiglu
from graft.engine.decoder_layer import DecoderLayer
from graft.engine.kernels import kernels
from graft.engine.linear import Linear
from graft.engine.lora_reference import DropoutMask
from graft.engine.recompute import recompute_of
from packed_rows import PAD, adapted, gradients, rows_of, uneven
from tiny_models import tiny_model

GEMMS = ["gemm_f32", "gemm_int8"]


def group(quantized, width=64, ranks=(8, 16, 24)):
    torch.manual_seed(0)
    layers = []
    for rank, out in zip(ranks, (48, 64, 80), strict=False):
        weight = torch.randn(out, width) / 8
        made = QUANTIZED_WEIGHTS[quantized](weight) if quantized else None
        bias = torch.randn(out) if out == 64 else None
        layers.append(Linear(weight, bias, torch.randn(rank, width), torch.randn(out, rank), 0.5, made))
    return layers


def needs(compute):
    """Skips what this processor has no kernels for; where it has them, they must be taken."""
    made = kernels()
    if made is None or not made.has("decoder_layer_forward"):
        pytest.skip("there are no kernels for several layers here")
    if compute in QUANTIZED_WEIGHTS and QUANTIZED_WEIGHTS[compute](torch.zeros(16, 16)).compute is None:
        pytest.skip(f"there are no kernels for {compute} here")


def kept(rows, width, drop):
    """Which numbers the dropout leaves: ones go by an A that is the identity."""
    layer = Linear(torch.zeros(16, width), None, torch.eye(width), torch.zeros(16, width))
    return lora_kernels.forward(kernels(), torch.ones(rows, width), [layer], None, drop)[0] > 0


@pytest.mark.parametrize("quantized", [None, "int8", "bfloat16"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("source", ["plain", "normed", "gated"])
def test_several_layers_in_one_call_and_one_by_one(quantized, source, dropout):
    needs(quantized)
    layers = group(quantized)
    gate, up, weight = torch.randn(301, 64), torch.randn(301, 64), torch.rand(64)
    x = {"plain": gate, "normed": rms_norm(gate, weight, 1e-5), "gated": swiglu(gate, up)}[source]
    made = lora_kernels.group_kernels(x, layers)
    drop = lora_kernels.dropouts([dropout]) if dropout else None
    mask = DropoutMask(kept(*x.shape, drop), drop[0].scale) if drop else None
    near = {"rtol": 1e-5, "atol": 1e-3 if quantized else 1e-4}
    for some, residual in ((layers, None), (layers[1:2], torch.randn(301, 64))):
        h, found = lora_kernels.forward(made, x, some, residual, drop)
        others, expected = lora_reference.forward(x, some, residual, mask)
        torch.testing.assert_close(h, others, rtol=1e-5, atol=1e-4)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, **near)
        grads = [torch.randn_like(y) for y in found]
        grad_x, pairs = lora_kernels.backward(made, grads, h, some, recompute_of(x) or x, 64, True, drop)
        wanted, others = lora_reference.backward(grads, h, some, x, True, mask)
        torch.testing.assert_close(grad_x, wanted, **near)
        for pair, other in zip(pairs, others, strict=True):
            torch.testing.assert_close(pair, other, rtol=1e-4, atol=1e-2)
        assert lora_kernels.backward(made, grads, h, some, x, 64, False)[0] is None


@pytest.mark.parametrize("rank", [4, 16])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "smollm3", "mistral", "gpt2", "phi3"])
def test_float32_gradients_of_long_batches_equal_the_padded_ones(family, rank):
    """Long enough for the kernels that pack weights; the padded computation in float64 is the measure."""
    assert_exact(uneven(adapted(family, rank, 64)))


@pytest.mark.parametrize("names", [["q_proj", "down_proj"], ["v_proj", "gate_proj", "up_proj"]])
def test_layers_without_an_adapter_beside_others(names):
    assert_exact(adapted("llama", 8, 64, target_modules=names))


def assert_exact(model):
    batch = rows_of(random.Random(0), 40, 9)
    packed = pack(batch)
    assert packed["input_ids"].shape[1] > 256
    with fused(model):
        loss = packed_loss(model, packed)
        found = gradients(model, loss)
    model = model.double()
    expected = plain_loss(model, plain_collate(batch, PAD))
    wanted = gradients(model, expected)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        assert (gradient - wanted[name]).norm() <= 1e-5 * wanted[name].norm(), name


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_what_dropout_keeps(share):
    """Its share, in all and by columns; another key, row or column is independent of it."""
    needs("exact")
    torch.manual_seed(0)
    one, other = (kept(1003, 576, lora_kernels.dropouts([share])).double() for _ in range(2))
    near = 5 * (share * (1 - share)) ** 0.5
    assert one.mean().item() == pytest.approx(1 - share, abs=near / one.numel() ** 0.5)
    assert (one.mean(0) - (1 - share)).abs().max() < near / 1003**0.5
    for moved in (other, one.roll(1, 0), one.roll(1, 1), one.roll(16, 1)):
        together = ((one - one.mean()) * (moved - moved.mean())).mean().item()
        assert abs(together) < 5 * share * (1 - share) / one.numel() ** 0.5


@pytest.mark.parametrize("compute", ["exact", "int8", "bfloat16"])
@pytest.mark.parametrize(
    ("family", "dropout"),
    [
        ("llama", 0.0),
        ("llama", 0.2),
        ("mistral", 0.0),
        ("smollm3", 0.0),
        ("qwen2", 0.0),
        ("qwen3", 0.0),
        ("qwen3", 0.1),
    ],
)
def test_whole_layers_equal_their_parts(family, dropout, compute, monkeypatch):
    needs(compute)
    model, packed = uneven(adapted(family, 8, 64, lora_dropout=dropout)).train(), pack(rows_of(random.Random(0), 40, 9))
    whole, taken = DecoderLayer.kernels_for, []

    def watched(self, x):
        taken.append(whole(self, x))
        return taken[-1]

    found = []
    for way in (watched, lambda self, x: None):
        monkeypatch.setattr(DecoderLayer, "kernels_for", way)
        torch.manual_seed(0)  # of what is dropped
        with fused(model, compute):
            loss = packed_loss(model, packed)
            found.append((loss.item(), gradients(model, loss)))
    assert taken == [kernels()]  # the other of two layers goes on with the targets alone
    (loss, whole), (other, parts) = found
    # A sum's last bit may turn a code of int8.
    near = 1e-5 if compute == "exact" else 1e-2
    assert loss == pytest.approx(other, rel=near)
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        assert (gradient - parts[name]).norm() <= near * parts[name].norm(), name


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_model_without_an_adapter_is_judged_by_the_same_kernels(family):
    model = tiny_model(family, width=64)
    rows = rows_of(random.Random(0), 60, 12)
    prompts = [row.input_ids[: row.prompt_length] for row in rows]
    answers = [[row.input_ids[row.prompt_length :], [5, 6]] for row in rows]
    found = score(model, prompts, answers)
    assert not any("forward" in vars(module) for module in model.modules())
    model = model.double()
    for prompt, completions, scores in zip(prompts, answers, found, strict=True):
        for completion, (nats, length, _) in zip(completions, scores, strict=True):
            with torch.no_grad():
                logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
            chosen = logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])
            assert (nats, length) == (pytest.approx(chosen.sum().item(), rel=1e-5), len(completion))


@pytest.mark.parametrize("part", ["self_attn", "mlp", "input_layernorm", "self_attn.v_proj", "mlp.down_proj"])
def test_hooks_of_others_are_called(part):
    model, packed = adapted("llama", 8, 64), pack(rows_of(random.Random(0), 40, 9))
    seen = []
    layer = model.get_base_model().model.layers[0]
    handle = layer.get_submodule(part).register_forward_hook(lambda *given: seen.append(given))
    with fused(model):
        heard = packed_loss(model, packed)
    assert len(seen) == 1
    handle.remove()
    with fused(model):
        assert packed_loss(model, packed).item() == pytest.approx(heard.item(), rel=1e-6)


def test_what_the_kernels_keep_from_call_to_call_is_given_back():
    needs("exact")
    layers, x = group(None), torch.randn(301, 64)
    lora_kernels.forward(kernels(), x, layers, None)
    assert kernels().release_workspace() > 0
    model, packed = adapted("llama", 8, 64), pack(rows_of(random.Random(0), 40, 9))
    with fused(model):
        packed_loss(model, packed).backward()
    assert kernels().release_workspace() == 0


@pytest.mark.parametrize(
    ("target", "flag", "has"),
    [("x86-64", "sse2", []), ("haswell", "avx2", GEMMS[:1]), ("alderlake", "avx_vnni", GEMMS)],
)
def test_kernels_for_lesser_processors(target, flag, has):
    """The kernels that a laptop gets are others than this processor's, which would never be compiled here."""
    if flag not in _flags():
        pytest.skip(f"this processor has no {flag}")
    tests = "whole_layers and llama or several_layers or judged_by and llama or float32_gradients and gpt2"
    code = f"from graft.engine.kernels import kernels as k; print([n for n in {GEMMS} if k().has(n)])"
    for command, said in ((["-m", "pytest", "-q", __file__, "-k", tests], " passed"), (["-c", code], repr(has))):
        given = {"env": {**os.environ, "GRAFT_KERNELS": target}, "capture_output": True, "encoding": "utf-8"}
        done = subprocess.run([sys.executable, *command], check=False, **given)
        assert done.returncode == 0 and said in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]


def _flags():
    try:
        return set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return set()
