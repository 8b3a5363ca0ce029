import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from graft.data.tokenize import TokenizedExample
from graft.engine import fused, pack, packed_loss, plain_collate, plain_loss
from graft.engine.prefix_tree import prefix_tree
from packed_rows import HERE, PAD, adapted, gradients

TOKEN = some.integers(10, 14)  # few, so that rows share more than was planned
TURN = some.lists(TOKEN, min_size=1, max_size=8)


@some.composite
def batches(draw):
    """Rows of several templates below one start, conversations and pairs with one prompt among them."""
    start = draw(some.lists(TOKEN, max_size=6))
    templates = draw(some.lists(TURN, min_size=1, max_size=3))
    rows = []
    for _ in range(draw(some.integers(1, 8))):
        prompt = [*start, *draw(some.sampled_from(templates)), *draw(some.lists(TOKEN, max_size=3))]
        for _ in range(draw(some.integers(1, 2))):
            answer = draw(some.lists(TOKEN, min_size=1, max_size=4))
            rows.append(TokenizedExample(prompt + answer, draw(some.sampled_from([len(prompt)] * 5 + [0, 1])), HERE))
    return rows


@pytest.fixture(scope="module")
def models():
    """A model of each family with LoRA over it, B not zero any more."""
    found = {}
    options = {
        "llama": {},
        "qwen3": {"use_dora": True},
        "phi3": {"use_rslora": True},
        "gpt2": {"modules_to_save": ("ln_f",)},
    }
    for family, given_options in options.items():
        found[family] = adapted(family, 2, double=True, **given_options)
    return found


@settings(max_examples=25, deadline=None, derandomize=True)
@given(rows=batches(), family=some.sampled_from(["llama", "qwen3", "phi3", "gpt2"]))
def test_any_batch_gives_the_padded_loss_and_gradients(models, rows, family):
    model = models[family]
    expected = plain_loss(model, plain_collate(rows, PAD))
    wanted = gradients(model, expected)
    with fused(model):
        found = packed_loss(model, pack(rows))
        grads = gradients(model, found)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert set(grads) == set(wanted)
    for name, gradient in grads.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-5, atol=1e-8)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(rows=batches())
def test_every_row_can_be_read_off_the_tree(rows):
    ids = [row.input_ids[:-1] for row in rows]
    limits = [max(1, row.prompt_length) - 1 for row in rows]
    levels, order, above = prefix_tree(ids, limits)
    assert sorted(order) == list(range(len(rows)))
    for leaf, index, shared in zip(levels[-1], order, above, strict=True):
        path, parent = [leaf.tokens], leaf.parent
        for level in reversed(levels[:-1]):
            path.insert(0, level[parent].tokens)
            parent = level[parent].parent
        assert [token for part in path for token in part] == ids[index]
        assert shared <= limits[index] and leaf.tokens
    assert all(node.tokens for level in levels for node in level)


def test_pairs_and_templates_share_what_is_theirs():
    start, first, second = [1, 2, 3, 4, 5], list(range(10, 30)), list(range(40, 60))
    rows = [[*start, *middle, last, last] for middle in (first, second) for last in range(90, 94)]
    levels, _, _ = prefix_tree(rows, [25] * 8)
    assert [len(level) for level in levels] == [1, 2, 8]
    assert sum(len(node.tokens) for level in levels for node in level) == 5 + 2 * 20 + 8 * 2
    pairs = [[*start, 7, n, *first, last] for n in range(4) for last in (90, 91)]
    levels, _, _ = prefix_tree(pairs, [27] * 8)
    assert sum(len(node.tokens) for level in levels for node in level) == 6 + 4 * 21 + 8
