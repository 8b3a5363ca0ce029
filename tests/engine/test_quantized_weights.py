import random

import pytest
import torch

from graft.engine import QUANTIZED_WEIGHTS, fusable, fused, pack, packed_loss
from graft.engine.matmul import LoraEpilogue
from graft.errors import InputError
from graft.methods import METHODS
from graft.training.engine_choice import EngineChoice, choose_engine, refuse_lower_precision
from packed_rows import adapted, gradients, rows_of
from prepared import prepared
from tiny_models import tiny_model


@pytest.fixture(params=["compiled", "PyTorch's operations"])
def with_and_without_kernels(request, monkeypatch):
    if request.param != "compiled":
        monkeypatch.setenv("GRAFT_KERNELS", "0")


@pytest.mark.usefixtures("with_and_without_kernels")
@pytest.mark.parametrize(("name", "error"), [("int8", 0.02), ("bfloat16", 0.01)])
@pytest.mark.parametrize(("out", "width"), [(24, 48), (32, 48), (112, 48), (80, 192)])  # 24 is not whole vectors
def test_products_in_both_directions_are_near(name, error, out, width):
    torch.manual_seed(0)
    weight, x, grad = torch.randn(out, width), torch.randn(43, width), torch.randn(43, out)
    x[3] *= 1000  # a row has its own scale,
    x[5] = 0  # and zeros stay zeros
    weight[7] *= 50
    quantized = QUANTIZED_WEIGHTS[name](weight)
    found = quantized.forward(quantized.quantize(x))
    size = x.abs() @ weight.abs().t()  # what is summed, before it cancels
    assert bool(((found - x @ weight.t()).abs() <= error * size).all())
    back = quantized.backward(quantized.quantize(grad))
    assert (back - grad @ weight).norm() <= error * (grad.abs() @ weight.abs()).norm()
    low, b = torch.randn(43, 16), torch.randn(width, 16)
    more = quantized.backward(quantized.quantize(grad), torch.ones(43, width), LoraEpilogue(low, b.t(), 0.5))
    torch.testing.assert_close(more, back + 1 + 0.5 * low @ b.t(), rtol=1e-5, atol=1e-4)
    low, b = torch.randn(43, 32), torch.randn(out, 32)
    more = quantized.forward(quantized.quantize(x), LoraEpilogue(low, b.t(), 2.0), torch.ones(43, out))
    torch.testing.assert_close(more, found + 1 + 2 * low @ b.t(), rtol=1e-5, atol=1e-3)


def test_int8_sums_are_whole_numbers_whoever_takes_them(monkeypatch):
    """The compiled product, PyTorch's, and a sibling that takes the other one's codes give the very same."""
    torch.manual_seed(0)
    x, weight = torch.randn(75, 64), torch.randn(40, 64)  # 40 is not whole vectors, 32 of them are
    whole, part = QUANTIZED_WEIGHTS["int8"](weight), QUANTIZED_WEIGHTS["int8"](weight[:32])
    codes = [quantized.quantize(x) for quantized in (whole, part)]
    for one in codes:
        torch.testing.assert_close(part.forward(one), whole.forward(codes[0])[:, :32], rtol=1e-6, atol=1e-5)
        torch.testing.assert_close(whole.forward(one), whole.forward(codes[0]), rtol=0, atol=0)
    monkeypatch.setenv("GRAFT_KERNELS", "0")
    plain = QUANTIZED_WEIGHTS["int8"](weight[:32])
    torch.testing.assert_close(plain.forward(plain.quantize(x)), whole.forward(codes[0])[:, :32], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["int8", "bfloat16"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_loss_and_gradients_are_near_and_not_the_same(family, name):
    model = adapted(family)
    batch = pack(rows_of(random.Random(0), 6, 9))
    with fused(model):
        exact = packed_loss(model, batch)
        wanted = torch.cat([g.flatten() for g in gradients(model, exact).values()])
    with fused(model, name):
        loss = packed_loss(model, batch)
        found = torch.cat([g.flatten() for g in gradients(model, loss).values()])
    assert loss.item() == pytest.approx(exact.item(), rel=0.01)
    assert torch.nn.functional.cosine_similarity(found, wanted, dim=0) > 0.99
    assert not torch.equal(found, wanted)


def test_engines_are_chosen_by_what_the_model_can():
    lora = prepared(METHODS.get("lora"), tiny_model("llama"))
    full = tiny_model("llama")
    assert fusable(lora) and not fusable(full)
    assert [choose_engine(name, lora) for name in ("exact", "auto", "packed", "int8", "plain")] == [
        EngineChoice("exact"),
        EngineChoice("exact"),
        EngineChoice("exact"),
        EngineChoice("int8"),
        EngineChoice("plain"),
    ]
    assert choose_engine("exact", full) == EngineChoice("exact")
    other = tiny_model("llama")
    other.config.model_type = "unheard-of"
    choice = choose_engine("exact", other)
    assert choice.name == "plain" and "unheard-of" in (choice.padded_because or "")
    for model in (full, other):
        with pytest.raises(InputError, match="int8"):
            choose_engine("int8", model)


@pytest.mark.parametrize(("engine", "precision", "objective"), [("int8", "bfloat16", None), ("bfloat16", "float32", 1)])
def test_quantized_weights_that_would_not_be_used_are_refused(engine, precision, objective):
    with pytest.raises(InputError, match=engine):
        refuse_lower_precision(engine, precision, objective)
