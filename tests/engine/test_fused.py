import random

import pytest
import torch

from graft.engine import fused, pack, packed_loss, plain_collate, plain_loss
from graft.engine.cross_entropy import chunked_cross_entropy
from graft.engine.linear import Linear
from graft.engine.lora_linear import keep_mask, lora_group
from packed_rows import PAD, adapted, gradients, rows_of
from tiny_models import tiny_model

FAMILIES = ("llama", "qwen2", "qwen3", "smollm3", "phi3", "mistral", "gpt2")
OPTIONS = {
    "plain": {},
    "some": {"target_modules": ("q_proj", "up_proj")},
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "saved": {"modules_to_save": ("lm_head",)},
}


def tuned(family="llama", **options):
    return adapted(family, double=True, **options)


@pytest.mark.parametrize(
    ("family", "option"), [(f, "plain") for f in FAMILIES] + [("llama", o) for o in OPTIONS if o != "plain"]
)
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradients_equal_those_of_peft(family, option, seed):
    model = tuned(family, **OPTIONS[option]).train(family != "gpt2")  # which has dropout of its own
    chance = random.Random(seed)
    rows = rows_of(chance, chance.randrange(2, 9), chance.choice([0, 7, 20]), everything=seed == 2)
    expected = plain_loss(model, plain_collate(rows, PAD))
    wanted = gradients(model, expected)
    if seed == 1:
        model.gradient_checkpointing_enable()
    with fused(model):
        found = packed_loss(model, pack(rows))
        grads = gradients(model, found)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert set(grads) == set(wanted)
    for name, gradient in grads.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-5, atol=1e-8)
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "mistral", "smollm3", "gpt2"])
def test_the_last_layer_goes_on_with_the_targets_alone(family):
    model = tuned(family)
    rows = rows_of(random.Random(0), 6, 9)
    batch = pack(rows)
    seen = []
    with fused(model):
        decoder = model.get_decoder()
        last = decoder.h[-1].mlp if family == "gpt2" else decoder.layers[-1].mlp
        hook = last.register_forward_hook(lambda module, given, output: seen.append(output.shape[1]))
        packed_loss(model, batch)
        hook.remove()
    assert seen == [batch["input_ids"].shape[1] if family == "gpt2" else len(batch["labels"])]
    assert len(batch["labels"]) < batch["input_ids"].shape[1]


@pytest.mark.parametrize("layers", ["o_proj", "down_proj", "q_proj"])
def test_residuals_are_added_once_whoever_adds_them(layers):
    """By the product where the layer has an adapter, and beside the layer's own forward where it has none."""
    model = tuned(target_modules=(layers,)).eval()
    batch = pack(rows_of(random.Random(3), 5, 7))
    with torch.no_grad():
        expected = packed_loss(model, batch)
        with fused(model):
            torch.testing.assert_close(packed_loss(model, batch), expected)
        with fused(model), torch.autocast("cpu", torch.bfloat16):
            assert packed_loss(model.float(), batch).item() == pytest.approx(expected.item(), rel=0.02)


def test_adapters_switched_off_or_merged_are_honoured():
    model = tuned()
    ids = torch.arange(4, 24)[None]
    base = tiny_model("llama").double()(ids).logits
    with torch.no_grad(), fused(model):
        with model.disable_adapter():
            torch.testing.assert_close(model(ids).logits, base)
        wanted = model(ids).logits
        model.merge_adapter()
        torch.testing.assert_close(model(ids).logits, wanted)
    assert not torch.allclose(wanted, base)


def test_the_mask_keeps_expectation_and_variance():
    torch.manual_seed(0)
    for p in (0.05, 0.1, 0.5):
        mask, up = keep_mask((1000, 777), p)
        scaled = mask.double() * up
        assert mask.shape == (1000, 777)
        assert scaled.mean().item() == pytest.approx(1, abs=0.005)
        assert scaled.var().item() == pytest.approx(p / (1 - p), rel=0.02)
        for lane in range(4):  # the places that share a random number are independent
            assert mask.reshape(-1)[lane::4].double().mean().item() == pytest.approx(1 - p, abs=0.005)
        pair = (mask.reshape(-1)[0::4] & mask.reshape(-1)[1::4][: len(mask.reshape(-1)[0::4])]).double().mean()
        assert pair.item() == pytest.approx((1 - p) ** 2, abs=0.005)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_of_layers_that_share_their_input(dropout):
    torch.manual_seed(0)
    frozen = [torch.randn(size, 6, dtype=torch.float64) for size in (5, 3, 4)]
    bias = torch.randn(5, dtype=torch.float64)
    shapes = [(7, 6), (2, 6), (5, 2), (3, 6), (3, 3)]
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def outputs(x, a, b, c, d):
        torch.manual_seed(5)  # the same mask each time
        layers = [Linear(frozen[0], bias, a, b, 2.0), Linear(frozen[1], None, c, d, 0.5), Linear(frozen[2], None)]
        return lora_group(x, layers, dropout)

    assert torch.autograd.gradcheck(outputs, tensors)


def test_dropout_is_of_the_adapter_alone():
    model = tuned(lora_dropout=0.4)
    batch = pack(rows_of(random.Random(0), 4, 7))
    with fused(model), torch.no_grad():
        quiet = packed_loss(model, batch)
        model.train()
        torch.manual_seed(5)
        losses = [packed_loss(model, batch).item() for _ in range(40)]
        torch.manual_seed(5)
        assert packed_loss(model, batch).item() == losses[0]
        assert len(set(losses)) == 40
        assert sum(losses) / 40 == pytest.approx(quiet.item(), rel=0.01)
        with model.disable_adapter():
            assert packed_loss(model, batch) == packed_loss(model, batch)


@pytest.mark.parametrize("compiled", ["1", "0"])
@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_the_cross_entropy_in_chunks(kind, compiled, monkeypatch):
    monkeypatch.setenv("GRAFT_KERNELS", compiled)
    monkeypatch.setattr("graft.engine.cross_entropy.LOGITS_AT_ONCE", 300)
    torch.manual_seed(0)
    hidden = torch.randn(23, 8, dtype=kind, requires_grad=True)
    weight, bias = torch.randn(100, 8, dtype=kind), torch.randn(100, dtype=kind)
    labels = torch.randint(100, (23,))
    found = chunked_cross_entropy(hidden, weight, bias, labels)
    expected = torch.nn.functional.cross_entropy(hidden @ weight.t() + bias, labels, reduction="sum")
    torch.testing.assert_close(found, expected)
    near = {"rtol": 1e-5, "atol": 1e-5} if kind == torch.float32 else {"rtol": 1e-7, "atol": 1e-7}
    wanted = torch.autograd.grad(3 * expected, hidden)[0]
    torch.testing.assert_close(torch.autograd.grad(3 * found, hidden)[0], wanted, **near)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "phi3"])
def test_norms_equal_the_models_own(family):
    model = tiny_model(family)
    norm = model.model.norm
    torch.manual_seed(0)
    with torch.no_grad():
        norm.weight.normal_()
    model.requires_grad_(False)
    x = torch.randn(2, 5, 32, requires_grad=True)
    expected = norm(x)
    up = torch.randn_like(expected)
    (wanted,) = torch.autograd.grad(expected, x, up)
    with fused(model):
        assert "forward" in vars(norm)
        found = norm(x)
        (grad,) = torch.autograd.grad(found, x, up)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grad, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_in_float32_too(family):
    model = tuned(family).float()
    batch = rows_of(random.Random(2), 6, 9)
    wanted = gradients(model, plain_loss(model, plain_collate(batch, PAD)))
    with fused(model):
        found = gradients(model, packed_loss(model, pack(batch)))
    for name, gradient in found.items():
        assert (gradient - wanted[name]).norm() <= 1e-5 * wanted[name].norm() + 1e-8
