"""Rounding by GPTQ, layer after layer."""

import numpy as np
import pytest
import torch

from graft.data.example import Origin
from graft.data.tokenize import TokenizedExample
from graft.engine import pack
from graft.export.quantize.calibrate import linears, quantize_linears, token_counts, within_budget
from graft.export.quantize.gptq import quantize
from tiny_models import tiny_model_folder

PREFIX = list(range(20, 40))
ROWS = [TokenizedExample([*PREFIX, n, n + 7, n + 3, 5], len(PREFIX) + 2, Origin("", n)) for n in range(50, 98)]


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def model(request, tmp_path_factory):
    from transformers import AutoModelForCausalLM

    folder = tiny_model_folder(tmp_path_factory.mktemp("models"), request.param, width=64)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def test_a_token_counts_for_each_row_it_stands_in():
    layout = pack(ROWS[:5])["layout"]
    assert token_counts(layout).tolist() == [5.0] * len(PREFIX) + [1.0] * 5 * 3
    pairs = [
        TokenizedExample([*PREFIX, group, group, group, 8, n, 5], 26, Origin("", n))
        for group in (1, 2)
        for n in (60, 61, 62)
    ]
    batch = pack(pairs)
    assert len(batch["layout"].levels) == 3
    rows = torch.tensor([row.input_ids[:-1] for row in pairs])
    counted = torch.zeros(100).index_add_(0, batch["input_ids"][0], token_counts(batch["layout"]))
    assert torch.equal(counted, torch.bincount(rows.reshape(-1), minlength=100).float())


def test_the_budget_counts_what_all_rows_begin_with_once():
    assert len(within_budget(ROWS, 40)) == 10
    assert len(within_budget(ROWS, 1)) == 1


def test_gptq_keeps_the_models_answers_better_than_each_blocks_best_range(model):
    ids = torch.tensor([row.input_ids for row in ROWS])
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with torch.no_grad():
        wanted = model(input_ids=ids).logits
        off = {}
        for name, rows in (("range", {}), ("gptq", {"": ROWS})):
            found = quantize_linears(model, rows)
            assert all(torch.equal(parameter, before[key]) for key, parameter in model.named_parameters())
            kept = _put(model, found)
            off[name] = float((model(input_ids=ids).logits - wanted).square().mean())
            _put(model, kept)
    assert off["gptq"] < 0.7 * off["range"]


def _put(model, found):
    """Weights in the place of the model's; returns what was there."""
    kept = {}
    for name, module in linears(model).items():
        if name in found:
            kept[name] = module.weight.data
            new = found[name]
            module.weight.data = new if torch.is_tensor(new) else torch.from_numpy(new.dequantize())
    return kept


def test_the_head_is_rounded_in_as_many_bits_as_it_is_to_have(model):
    head = quantize_linears(model, {}, 8)["lm_head"]
    weight = model.lm_head.weight.detach().numpy()
    assert head.bits == 8
    assert np.abs(head.dequantize() - weight).max() < 0.02 * np.abs(weight).max()


def test_the_error_of_the_outputs_is_below_that_of_rounding_alone():
    random = np.random.default_rng(0)
    inputs = (random.standard_normal((400, 96)) @ random.standard_normal((96, 96))).astype(np.float32)
    weight = random.standard_normal((40, 96)).astype(np.float32)
    errors = [
        float(np.square(inputs @ (weight - quantize(weight, hessian).dequantize()).T).mean())
        for hessian in (None, inputs.T @ inputs)
    ]
    assert errors[1] < 0.6 * errors[0]
