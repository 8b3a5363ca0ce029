import random

import pytest
import torch

from graft.data.tokenize import TokenizedExample
from graft.engine import generate, pack, packed_loss, plain_collate, plain_loss, plan_batches, score, supports
from graft.engine.kernels import kernels
from graft.engine.support import sees_all
from graft.models.families import family_of
from packed_rows import HERE, PAD, gradients, rows_of
from tiny_models import tiny_model

FAMILIES = ("llama", "qwen2", "qwen3", "phi", "phi3", "gemma", "gemma2", "gemma3", "mistral", "gpt2")


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return tiny_model(request.param).double()


@pytest.fixture(params=["compiled", "PyTorch's operations"])
def with_and_without_kernels(request, monkeypatch):
    if request.param != "compiled":
        monkeypatch.setenv("GRAFT_KERNELS", "0")
    elif kernels() is None:
        pytest.skip("there is no C++ compiler here")
    return request.param


@pytest.mark.usefixtures("with_and_without_kernels")
@pytest.mark.parametrize("seed", range(6))
def test_loss_and_gradients_equal_the_padded_ones(model, seed):
    chance = random.Random(seed)
    rows = rows_of(chance, chance.randrange(1, 9), chance.choice([0, 2, 7, 20]), everything=seed == 5)
    expected = plain_loss(model, plain_collate(rows, PAD))
    wanted = gradients(model, expected)
    found = packed_loss(model, pack(rows))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    # Gemma's norms go by way of float32.
    near = {"rtol": 1e-5, "atol": 1e-8} if "gemma" not in model.config.model_type else {"rtol": 1e-4, "atol": 1e-6}
    for name, gradient in gradients(model, found).items():
        torch.testing.assert_close(gradient, wanted[name], **near)


@pytest.mark.parametrize(
    "rows",
    [
        [TokenizedExample([9, 8, 7, 6, 5, 4], 5, HERE)] * 3,
        [TokenizedExample([9, 8, 7, 6, 5, 4, 3], 6, HERE), TokenizedExample([9, 8, 7, 6, 5, 4, 2], 6, HERE)],
        [TokenizedExample([9, 8, 7, 6, 5, 4], 5, HERE), TokenizedExample([9, 8, 7, 6, 5, 1, 1, 1], 5, HERE)],
        [TokenizedExample([5, 6], 1, HERE)],
    ],
    ids=["the same row", "targets right after the prefix", "one ends where the other goes on", "two tokens"],
)
def test_corners(rows):
    model = tiny_model("llama").double()
    expected = plain_loss(model, plain_collate(rows, PAD))
    found = packed_loss(model, pack(rows))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    for (_, a), (_, b) in zip(gradients(model, found).items(), gradients(model, expected).items(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-8)


def test_what_rows_share_is_there_once():
    rows = rows_of(random.Random(0), 8, 20)
    batch = pack(rows)
    assert batch["input_ids"].shape[1] == sum(len(row.input_ids) - 1 for row in rows) - 7 * 20


def test_accumulation_averages_over_tokens():
    model = tiny_model("llama").double()
    rows = rows_of(random.Random(3), 16, 10)
    targets = len(pack(rows)["labels"])
    whole = gradients(model, packed_loss(model, pack(rows)))
    model.zero_grad()
    for start in range(0, 16, 4):
        packed_loss(model, pack(rows[start : start + 4]), targets).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, whole[name], rtol=1e-5, atol=1e-8)


def test_checkpointed_activations_give_the_same_gradients():
    model = tiny_model("llama").double()
    batch = pack(rows_of(random.Random(4), 5, 10))
    wanted = gradients(model, packed_loss(model, batch))
    model.gradient_checkpointing_enable()
    model.train()
    for name, gradient in gradients(model, packed_loss(model, batch)).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-5, atol=1e-8)


@pytest.mark.usefixtures("with_and_without_kernels")
@pytest.mark.parametrize("prefix", [0, 9])
def test_scores_equal_those_row_by_row(model, prefix):
    chance = random.Random(prefix)
    prompts = [row.input_ids[: row.prompt_length] for row in rows_of(chance, 7, prefix)]
    answers = [[[5, 6], [5], [7, 8, 9]], [[5]], [[6, 7]], [[1, 2]], [[3]], [[4], [5]], [[5, 6], [5, 6]]]
    seen = []
    found = score(model, prompts, answers, lambda done, total: seen.append((done, total)))
    for prompt, completions, scores in zip(prompts, answers, found, strict=True):
        for completion, (nats, tokens, greedy) in zip(completions, scores, strict=True):
            logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            assert tokens == len(completion)
            assert greedy == (logits.argmax(-1).tolist() == completion)
            assert nats == pytest.approx(sum(logits[i, t].item() for i, t in enumerate(completion)), rel=1e-5)
    assert seen[-1] == (7, 7)


@pytest.mark.usefixtures("with_and_without_kernels")
@pytest.mark.parametrize("prefix", [0, 9])
def test_generation_equals_that_row_by_row(model, prefix):
    prompts = [row.input_ids[: row.prompt_length] for row in rows_of(random.Random(prefix + 1), 7, prefix)]
    plain = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=8,
            do_sample=False,
            eos_token_id=2,
            pad_token_id=PAD,
        )[0, len(prompt) :].tolist()
        plain.append(out[: out.index(2)] if 2 in out else out)
    eos = plain[0][1]  # an end token that does occur: rows end at different steps
    cut = [answer[: answer.index(eos)] if eos in answer else answer for answer in plain]
    assert generate(model, prompts, 8, {2}, PAD) == plain
    assert generate(model, prompts, 8, {2, eos}, PAD) == cut


def test_the_plain_path_is_taken_and_says_why():
    other = tiny_model("llama")
    other.config.model_type = "unheard-of"
    assert "not tested with unheard-of" in (supports(other) or "")
    assert all(family_of(tiny_model(family).config.model_type).packed for family in FAMILIES)
    found = score(other, [[9, 8, 7], [6, 5]], [[[1, 2]], [[3]]])
    assert [tokens for row in found for _, tokens, _ in row] == [2, 1]
    assert len(generate(other, [[9, 8, 7]], 4, {2}, PAD)[0]) <= 4


def capped_gemma(cap):
    """Layers with a window of 16 tokens and without, all with scores capped."""
    gemma = tiny_model("gemma2")
    gemma.config.attn_logit_softcapping = cap
    for layer in gemma.model.layers:
        layer.self_attn.attn_logit_softcapping = cap
    return gemma


@pytest.mark.usefixtures("with_and_without_kernels")
def test_caps_are_kept_before_and_after_a_packed_pass():
    gemma = capped_gemma(0.01)
    rows = rows_of(random.Random(0), 5, 20)
    uncapped = plain_loss(tiny_model("gemma2"), plain_collate(rows, PAD))
    before = plain_loss(gemma, plain_collate(rows, PAD))
    found = packed_loss(gemma, pack(rows))
    after = plain_loss(gemma, plain_collate(rows, PAD))
    assert found.item() == pytest.approx(before.item(), rel=1e-5)
    assert after.item() == pytest.approx(before.item(), rel=1e-5) != pytest.approx(uncapped.item(), rel=1e-5)


@pytest.mark.usefixtures("with_and_without_kernels")
@pytest.mark.parametrize("changed", ["autocast", "dropout"])
def test_windows_and_caps_are_kept_where_the_kernels_do_not_compute(changed):
    """They take no bfloat16 and no dropout of the shares; what serves instead must see and cap the same."""
    rows = rows_of(random.Random(0), 5, 20)
    found = []
    for loss, batch in ((plain_loss, plain_collate(rows, PAD)), (packed_loss, pack(rows))):
        gemma = capped_gemma(0.01)
        if changed == "dropout":  # of next to nothing, so that the losses can be compared
            gemma.train()
            for layer in gemma.model.layers:
                layer.self_attn.attention_dropout = 1e-9
        with torch.autocast("cpu", torch.bfloat16, enabled=changed == "autocast"):
            value = loss(gemma, batch)
        found.append((value.item(), gradients(gemma, value)))
    (expected, wanted), (loss, grads) = found
    rough = {"rtol": 0.1, "atol": 0.01} if changed == "autocast" else {"rtol": 1e-3, "atol": 1e-5}
    assert loss == pytest.approx(expected, rel=1e-2 if changed == "autocast" else 1e-5)
    for name, gradient in grads.items():
        torch.testing.assert_close(gradient, wanted[name], **rough)


def test_a_window_is_seen_where_it_is_shorter_than_the_rows():
    mistral = tiny_model("mistral")
    assert sees_all(mistral, 1000)
    mistral.config.sliding_window = 64
    assert not sees_all(mistral, 65) and sees_all(mistral, 64)
    qwen = tiny_model("qwen2")
    qwen.config.sliding_window = 8  # which it has and does not use
    assert sees_all(qwen, 65)


def test_batches_are_decided_by_seed_and_epoch():
    rows = rows_of(random.Random(0), 30, 14) + rows_of(random.Random(1), 21, 14)
    plan = plan_batches(rows, 8, 42, 1)
    assert sorted(index for batch in plan for index in batch) == list(range(51))
    assert len(plan) == 7
    assert plan == plan_batches(rows, 8, 42, 1)
    assert plan != plan_batches(rows, 8, 42, 2) != plan_batches(rows, 8, 7, 2)
    mixed = [batch for batch in plan if min(batch) < 30 <= max(batch)]
    assert len(mixed) <= 1 + len(rows) // 8 // 3
