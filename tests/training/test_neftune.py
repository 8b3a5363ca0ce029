"""NEFTune's noise is as strong as the paper says for each row, whatever else is in the batch."""

import math
import random
from functools import partial

import pytest
import torch

from graft.engine import fused
from graft.engine.losses import pack, packed_loss, plain_collate, plain_loss
from graft.training.neftune import noisy_embeddings
from packed_rows import PAD, adapted, rows_of

ALPHA = 5.0


def noise_of(model, call, seed=0):
    """What the context adds to the embeddings of a batch, (tokens, hidden)."""
    found = []
    embeddings = model.get_input_embeddings()
    with noisy_embeddings(model, ALPHA):
        weight = embeddings.weight.detach()
        hook = embeddings.register_forward_hook(lambda m, args, out: found.append((out - weight[args[0]]).detach()))
        torch.manual_seed(seed)
        call()
        hook.remove()
    return found


def batches(rows):
    return {
        "exact": (pack(rows, share_prefixes=False), packed_loss),
        "plain": (plain_collate(rows, PAD), plain_loss),
    }


@pytest.mark.parametrize("engine", ["exact", "plain"])
def test_the_noise_of_each_row_is_scaled_by_its_own_length(engine):
    model = adapted("llama").train()
    rows = rows_of(random.Random(1), 5, prefix=8)
    batch, loss = batches(rows)[engine]
    collected = [[] for _ in rows]
    for seed in range(40):
        (noise,) = noise_of(model, partial(loss, model, batch), seed)
        if engine == "plain":
            parts = [part[: len(row.input_ids)] for part, row in zip(noise, rows, strict=True)]
        else:
            parts = noise[0].split([len(row.input_ids) - 1 for row in rows])
        for kept, part in zip(collected, parts, strict=True):
            kept.append(part.flatten())
    for kept, row in zip(collected, rows, strict=True):
        found = torch.cat(kept)
        bound = ALPHA / math.sqrt(len(row.input_ids) * model.config.hidden_size)
        assert 0.98 * bound < float(found.abs().max()) <= bound * 1.0001
        assert float(found.std()) == pytest.approx(bound / math.sqrt(3), rel=0.03)  # of a uniform distribution
        assert abs(float(found.mean())) < 0.03 * bound


def test_rows_with_one_prefix_have_noise_of_their_own():
    model = adapted("llama").train()
    rows = rows_of(random.Random(2), 3, prefix=20)
    with fused(model):
        (noise,) = noise_of(model, lambda: packed_loss(model, pack(rows, share_prefixes=False)))
    parts = noise[0].split([len(row.input_ids) - 1 for row in rows])
    assert not torch.allclose(parts[0][:20], parts[1][:20])
    shared = pack(rows)["input_ids"].shape[1]
    assert shared < noise.shape[1] == sum(len(row.input_ids) - 1 for row in rows)


def test_a_pack_without_shared_prefixes_has_the_same_loss():
    model = adapted("llama").eval()
    rows = rows_of(random.Random(3), 4, prefix=12)
    with torch.no_grad():
        found = packed_loss(model, pack(rows, share_prefixes=False))
        assert float(found) == pytest.approx(float(packed_loss(model, pack(rows))), rel=1e-5)


def test_there_is_none_in_evaluations_nor_afterwards():
    model = adapted("llama").eval()
    rows = rows_of(random.Random(4), 3, prefix=6)
    (noise,) = noise_of(model, lambda: packed_loss(model, pack(rows)))
    assert not noise.any()
    embeddings = model.get_input_embeddings()
    assert not embeddings._forward_hooks and not model._forward_pre_hooks


def test_both_sides_of_an_encoder_decoder_have_noise(tmp_path):
    from transformers import AutoModelForSeq2SeqLM

    from graft.tasks.summarization import collate, outputs
    from tiny_task_models import tiny_t5_folder

    model = AutoModelForSeq2SeqLM.from_pretrained(tiny_t5_folder(tmp_path)).train()
    batch = collate(rows_of(random.Random(5), 3, prefix=2), 0)
    calls = []
    with noisy_embeddings(model, ALPHA):
        for module in {id(m): m for m in model.modules() if isinstance(m, torch.nn.Embedding)}.values():
            if module.weight.shape == model.get_input_embeddings().weight.shape:
                module.register_forward_hook(
                    lambda m, args, out: calls.append((out - m.weight[args[0]]).abs().amax(-1).amax(-1))
                )
        outputs(model, batch)
    width = model.get_input_embeddings().weight.shape[1]
    lengths = batch["attention_mask"].sum(-1), (batch["labels"] != -100).sum(-1)
    assert len(calls) == 2
    for found, length in zip(calls, lengths, strict=True):
        bound = ALPHA / torch.sqrt(length * width)
        assert bool((found > 0.5 * bound).all()) and bool((found <= bound * 1.001).all())
