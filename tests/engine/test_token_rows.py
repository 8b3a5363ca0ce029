"""Trained rows of frozen embeddings: the packed engine's loss and gradients are those of padded batches in PEFT."""

import random

import pytest
import torch

from graft.engine import fused, generate, pack, packed_loss, plain_collate, plain_loss, score
from graft.engine.cross_entropy import chunked_cross_entropy
from graft.engine.token_rows import TokenRows
from graft.methods import METHODS
from graft.models.new_tokens import NewToken, grow
from packed_rows import PAD, gradients, rows_of
from prepared import prepared
from tiny_models import tiny_model

NEW = [NewToken("<a>", 386, pieces=(20, 30)), NewToken("<b>", 384, pieces=(40,)), NewToken("old", 25, existed=True)]


def adapted(family, double=False, **options):
    """A tiny model with LoRA and new tokens, none of them as they began."""
    model = tiny_model(family)
    grow(model, NEW)
    model = prepared(METHODS.get("lora"), model, lora_r=4, **options)
    model = model.double() if double else model
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "trainable_tokens_delta" in name:
                parameter.normal_(std=0.1)
    return model


def with_new(rows):
    """The rows with new tokens in their prompts and answers, and two prompts that begin alike."""
    for index, row in enumerate(rows):
        row.input_ids[1], row.input_ids[-1] = NEW[index % 3].id, NEW[(index + 1) % 3].id
        row.input_ids[row.prompt_length] = 386
    return rows


@pytest.mark.parametrize("family", ["llama", "qwen3", "phi3", "gemma3", "gemma2", "gpt2", "mistral"])
@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
def test_the_packed_loss_and_its_gradients_are_those_of_peft(family, double):
    model = adapted(family, double)
    rows = with_new(rows_of(random.Random(3), 5, prefix=6))
    plain = plain_loss(model, plain_collate(rows, PAD))
    expected = gradients(model, plain)
    with fused(model):
        loss = packed_loss(model, pack(rows))
        found = gradients(model, loss)
    assert loss.item() == pytest.approx(plain.item(), rel=1e-6)
    assert found.keys() == expected.keys()
    (delta, *other) = [name for name in found if "trainable_tokens_delta" in name]
    assert found[delta].abs().max() > 1e-4 and len(other) == (0 if model.config.tie_word_embeddings else 1)
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max() < (1e-6 if double else 1e-5), name


@pytest.mark.parametrize("family", ["llama", "phi3"])
def test_scores_and_answers_are_those_of_the_merged_model(family):
    model = adapted(family)
    prompts = [[40, 386, 50, 60], [40, 386, 50, 25, 70], [384, 41]]
    completions = [[[386, 25], [90]], [[384]], [[25, 26, 386]]]
    scored = score(model, prompts, completions)
    answers = generate(model, prompts, 6, [1], PAD)
    with model.disable_adapter():
        of_base = score(model, prompts, completions)
    merged = METHODS.get("lora").merge(model)
    expected = score(merged, prompts, completions)
    for rows, others, base in zip(scored, expected, of_base, strict=True):
        for one, other, before in zip(rows, others, base, strict=True):
            assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-4)
            assert abs(before.log_likelihood - one.log_likelihood) > 1e-4
    assert answers == generate(merged, prompts, 6, [1], PAD)


def test_nothing_of_the_model_is_changed_behind_the_context():
    model = adapted("llama")
    with fused(model):
        packed_loss(model, pack(with_new(rows_of(random.Random(1), 3, prefix=6)))).backward()
    assert all("forward" not in vars(module) for module in model.modules())


def test_the_loss_in_chunks_of_trained_rows(monkeypatch):
    monkeypatch.setattr("graft.engine.cross_entropy.LOGITS_AT_ONCE", 3 * 50)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(10, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(50, 8, generator=generator, dtype=torch.float64)
    values = torch.randn(3, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    ids, labels = torch.tensor([2, 7, 49]), torch.tensor([2, 7, 49, 0, 1, 2, 3, 4, 5, 49])
    logits = hidden @ weight.index_copy(0, ids, values).t()
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    wanted = torch.autograd.grad(expected, (hidden, values))
    loss = chunked_cross_entropy(hidden, weight, None, labels, TokenRows(ids, values))
    torch.testing.assert_close(loss, expected)
    for one, other in zip(torch.autograd.grad(loss, (hidden, values)), wanted, strict=True):
        torch.testing.assert_close(one, other)
