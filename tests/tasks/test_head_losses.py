"""What heads are trained on: class weights, several labels, pairs, and losses of one's own."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from graft.commands.finetune import finetune
from graft.data.example import Origin
from graft.data.tokenize import TokenizedExample
from graft.errors import InputError
from graft.planning.plan import plan_run
from graft.planning.settings import finetune_settings
from graft.tasks.load import load_for
from graft.tasks.losses import ClassWeighted, Contrastive, Cosine, LabelWeighted
from graft.training.objective import batches_by_length
from loss_files import write_losses

NAMES = ["a", "b", "c"]
CLASSES = [0, 0, 0, 0, 1, 1, 2]


def rows(targets):
    return [TokenizedExample([5, 6], 2, Origin("f", line), target=target) for line, target in enumerate(targets)]


def test_balanced_weights_are_scikit_learns():
    loss = ClassWeighted()
    loss.prepare(rows(CLASSES), NAMES)
    weights = torch.tensor(compute_class_weight("balanced", classes=np.arange(3), y=CLASSES)).float()
    logits, labels = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), torch.tensor(CLASSES)
    expected = cross_entropy(logits, labels, weight=weights, reduction="none")
    assert torch.allclose(loss(logits, labels, {}), expected)


def test_weights_by_name_and_of_tags():
    loss = ClassWeighted({"b": 3})
    loss.prepare(rows([[-100, 0, 1], [2, -100, -100]]), NAMES)
    assert loss.by_class.tolist() == [1, 3, 1]
    with pytest.raises(InputError, match="unknown classes: z"):
        ClassWeighted({"z": 1}).prepare(rows(CLASSES), NAMES)
    loss = ClassWeighted()
    loss.prepare(rows([[-100, 0, 0], [2, -100, 1]]), NAMES)
    assert loss.by_class.tolist() == pytest.approx([4 / 6, 4 / 3, 4 / 3])


def test_a_rare_labels_presence_counts_as_its_absences():
    loss = LabelWeighted()
    loss.prepare(rows([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]), NAMES[:2])
    logits, labels = torch.tensor([[0.3, -1.0]]), torch.tensor([[1.0, 1.0]])
    expected = binary_cross_entropy_with_logits(logits, labels, pos_weight=torch.tensor([3, 1 / 3]), reduction="none")
    assert torch.allclose(loss(logits, labels, {}), expected)


def test_contrastive_is_the_walkthroughs_loss_and_cosine_draws_and_parts(tmp_path):
    from graft.training.losses.load import load_loss

    own = load_loss(f"{write_losses(tmp_path) / 'custom_loss.py'}:CustomContrastiveLoss", kind="pairs")
    first, second = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([0.0, 1, 0, 1, 1, 0])
    assert torch.allclose(Contrastive()(first, second, label).mean(), own(first, second, label))
    same = torch.ones(2, 4)
    assert Cosine()(same, same, torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0, 1], abs=1e-6)


@pytest.mark.parametrize(
    ("model", "kind"), [("bert", "classes"), ("bert", "several"), ("bert", "tagged"), ("t5", "summaries")]
)
def test_accumulation_averages_over_targets(given, model, kind):
    """16 rows at once, and 4 times 4, give the same loss and gradients, whatever the rows' lengths."""
    plan = plan_run(finetune_settings(given(model, kind)))
    net = load_for(plan.task, plan.encoding, plan.base, 0)
    collate = partial(plan.objective.collate, pad_token_id=plan.tokenizer.pad_token_id)
    loss = plan.objective.over_outputs(plan.loss.call)

    def gradients(parts):
        batches = [collate(part) for part in parts]
        items = sum(int((batch["labels"] != -100).sum()) for batch in batches)
        net.zero_grad()
        total = sum(loss(net, batch, items) for batch in batches)
        total.backward()
        found = [p.grad.flatten() for p in net.parameters() if p.grad is not None]
        return float(total), torch.cat(found)

    chosen = plan.rows[:16]
    whole, at_once = gradients([chosen])
    parted, in_four = gradients([chosen[i : i + 4] for i in range(0, 16, 4)])
    assert whole == pytest.approx(parted, rel=1e-5)
    assert torch.allclose(at_once, in_four, atol=1e-5)


def test_a_pairs_loss_is_told_whether_the_two_differ(given):
    plan = plan_run(finetune_settings(given("bert", "pairs")))
    batch = plan.objective.collate(plan.rows[:6], 0)
    assert batch["labels"].tolist() == [row.target for row in plan.rows[:6]]
    alike = {e.origin.line: e.similarity for e in plan.data.train}
    assert all(row.target == 1 - alike[row.origin.line] for row in plan.rows)
    net = load_for(plan.task, plan.encoding, plan.base, 0)
    first, second, labels = plan.objective.outputs(net, batch)
    assert first.shape == second.shape == (6, 32) and labels.shape == (6,)
    assert torch.allclose(first.norm(dim=-1), torch.ones(6), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "loss", "arguments"),
    [
        ("pairs", "contrastive", {"margin": 0.5}),
        ("classes", "OWN/own.py:each", {}),
        ("classes", "class-weighted", {"weights": {"yes": 2}}),
        ("tagged", "focal", {}),
        ("tagged", "class-weighted", {}),
        ("several", "class-weighted", {}),
    ],
)
def test_a_loss_by_name_is_of_the_head(given, tmp_path, kind, loss, arguments):
    named = loss.replace("OWN", str(write_losses(tmp_path)))
    plan = plan_run(finetune_settings(given("bert", kind, loss=named, loss_arguments=arguments)))
    net = load_for(plan.task, plan.encoding, plan.base, 0)
    batch = plan.objective.collate(plan.rows[:8], plan.tokenizer.pad_token_id)
    found = plan.objective.over_outputs(plan.loss.call)(net, batch, None)
    assert found.shape == () and float(found) > 0
    usual = plan_run(finetune_settings(given("bert", kind)))
    by_default = usual.objective.over_outputs(usual.loss.call)(net, batch, None)
    is_the_same = loss.endswith(":each")  # cross-entropy, written by a user
    assert (float(found) == pytest.approx(float(by_default))) == is_the_same
    found.backward()
    assert any(p.grad is not None and p.grad.any() for p in net.parameters())


def test_the_walkthroughs_own_loss_trains_pairs(given, tmp_path):
    own = f"{write_losses(tmp_path) / 'custom_loss.py'}:CustomContrastiveLoss"
    run = finetune(given("bert", "pairs", loss=own))
    lines = (Path(run) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [line["eval_loss"] for line in map(json.loads, lines) if "eval_loss" in line]
    assert losses[-1] < losses[0] < 10


@pytest.mark.parametrize(
    ("kind", "loss", "said"),
    [
        ("pairs", "focal", "focal is not a loss for pairs.*contrastive, cosine"),
        ("several", "label-smoothing", "not a loss for rows with several labels"),
        ("classes", "OWN/custom_loss.py:CustomContrastiveLoss", "this one is for sentence pairs"),
        ("pairs", "OWN/own.py:plain", "output1, output2, label"),
        ("classes", "distillation", "--teacher requires a text-generation task"),
    ],
)
def test_a_loss_that_does_not_fit_the_task_is_said_before_training(given, tmp_path, kind, loss, said):
    named = loss.replace("OWN", str(write_losses(tmp_path)))
    with pytest.raises(InputError, match=f"(?s){said}"):
        finetune(given("bert", kind, loss=named))
    assert not (tmp_path / "run").exists()


def test_rows_of_like_length_meet_and_each_comes_once():
    draw = np.random.default_rng(0)
    given = [
        TokenizedExample([1] * int(length), 0, Origin("f", line))
        for line, length in enumerate(draw.integers(3, 60, 107))
    ]
    batches = batches_by_length(given, 8, seed=1, epoch=0)
    assert sorted(index for batch in batches for index in batch) == list(range(107))
    assert len(batches) == 14 and max(map(len, batches)) == 8
    padded = sum(max(len(given[i].input_ids) for i in batch) * len(batch) for batch in batches)
    assert padded < 1.15 * sum(len(row.input_ids) for row in given)
    assert batches == batches_by_length(given, 8, seed=1, epoch=0) != batches_by_length(given, 8, seed=1, epoch=1)
