"""Batches are made on the CPU and go where the model is: seen with fake tensors, which know devices and need none."""

import random
from importlib import import_module

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode, unset_fake_temporarily

from graft.data.tokenize import TokenizedExample
from graft.engine import generate, pack, packed_loss, score
from graft.engine.packing import lay_out
from packed_rows import HERE, rows_of
from tiny_models import tiny_model

ROWS = [
    *rows_of(random.Random(0), 3, 7),
    *[
        TokenizedExample([9, 8, 7, 6, group, group, group, group, n, 5, 4], 9, HERE)
        for group in (1, 2)
        for n in (11, 12, 13)
    ],
]


@pytest.fixture(params=["llama", "gemma2"])
def elsewhere(request, monkeypatch):
    def on_the_cpu(*given):
        with unset_fake_temporarily():
            return lay_out(*given)

    for module in ("losses", "generate", "score"):
        monkeypatch.setattr(import_module(f"graft.engine.{module}"), "lay_out", on_the_cpu)
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("lazy:0"):
            model = tiny_model(request.param)
        yield model


def test_a_loss_and_its_gradients(elsewhere):
    loss = packed_loss(elsewhere, pack(ROWS[3:]))
    assert loss.device.type == "lazy"
    loss.backward()
    assert all(p.grad.device.type == "lazy" for p in elsewhere.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    "asked",
    [
        lambda model, prompts: score(model, prompts, [[[4, 5], [6]]] * len(prompts)),
        lambda model, prompts: generate(model, prompts, 4, {2}, 3),
    ],
    ids=["scores", "answers"],
)
def test_all_is_computed_there_until_numbers_are_asked_for(elsewhere, asked):
    prompts = [row.input_ids[:9] for row in ROWS]
    with pytest.raises(DataDependentOutputException):
        asked(elsewhere, prompts)
