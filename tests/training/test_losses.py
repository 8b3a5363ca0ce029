import json
import math
import random

import pytest
import torch

from graft.config import TrainingSettings
from graft.data.example import Origin
from graft.data.tokenize import TokenizedExample
from graft.errors import InputError
from graft.planning.settings import finetune_settings
from graft.planning.unused import check_used
from graft.progress import SILENT
from graft.runs.folder import RunFolder
from graft.training.loop import TrainRequest, train
from graft.training.losses.choose import ChosenLoss, named_loss
from graft.training.losses.class_weighted import ClassWeighted, balanced_weights
from graft.training.losses.load import load_loss
from graft.training.schedule import TrainingPlan
from loss_files import write_losses
from notes import Notes
from tiny_models import tiny_model, tiny_model_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_losses(tmp_path_factory.mktemp("losses"))


@pytest.fixture(scope="module")
def sample():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(6, 11, generator=generator), torch.randint(0, 11, (6,), generator=generator)


def test_the_walkthroughs_contrastive_loss_is_a_loss_of_pairs(folder):
    loss = load_loss(f"{folder / 'custom_loss.py'}:CustomContrastiveLoss", {"margin": 2.0}, kind="pairs")
    same, far = torch.zeros(1, 4), torch.full((1, 4), 0.5)
    assert loss(same, far, torch.tensor([0.0])).item() == pytest.approx(1.0, abs=1e-4)  # distance 1, squared
    assert loss(same, far, torch.tensor([1.0])).item() == pytest.approx(1.0, abs=1e-4)  # margin 2 less distance 1


def test_a_loss_of_pairs_is_refused_for_tokens_with_what_was_expected(folder):
    with pytest.raises(InputError) as caught:
        load_loss(f"{folder / 'custom_loss.py'}:CustomContrastiveLoss")
    said = str(caught.value)
    assert "CustomContrastiveLoss.forward(output1, output2, label)" in said
    assert "(logits, labels, batch)" in said and "feature-extraction" in said


def test_a_loss_of_tokens_is_refused_for_pairs(folder):
    with pytest.raises(InputError, match=r"each\(logits, labels, batch\).*output1, output2, label"):
        load_loss(f"{folder / 'own.py'}:each", kind="pairs")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("upside_down", r"upside_down\(labels, logits\) has the wrong signature"),
        ("one", r"one\(logits\) has the wrong signature"),
        ("four", r"four\(logits, labels, batch, more\) has the wrong signature"),
        ("by_name", "requires the keyword arguments weight"),
        ("crooked", r"returns a tensor of shape \(4, 1\) for 4 targets"),
        ("constant", "without a gradient"),
        ("detached", "returns a float"),
        ("breaks", r"fails on tensors of shape \(4, 16\), \(4,\)"),
        ("Learned", "parameters of its own"),
        ("NUMBER", "a int cannot be called"),
        ("scald", "did you mean scaled"),
    ],
)
def test_what_cannot_be_called_is_said_before_training(folder, name, said):
    with pytest.raises(InputError, match=said):
        load_loss(f"{folder / 'own.py'}:{name}")


def test_a_file_that_does_not_import_and_a_name_that_is_not_there_are_said(folder):
    with pytest.raises(InputError, match="SyntaxError"):
        load_loss(f"{folder / 'broken.py'}:loss")
    with pytest.raises(InputError, match="did you mean focal"):
        load_loss("focl")


def test_arguments_reach_the_loss_and_wrong_ones_are_said(folder, sample):
    reference = f"{folder / 'own.py'}:scaled"
    once, twice = load_loss(reference), load_loss(reference, {"factor": 2.0})
    assert twice(*sample, {}).item() == pytest.approx(2 * once(*sample, {}).item())
    with pytest.raises(InputError, match="has no gama"):
        load_loss("focal", {"gama": 1})
    with pytest.raises(InputError, match="smoothing must be at least 0"):
        load_loss("label-smoothing", {"smoothing": 2})
    assert finetune_settings({"loss_arguments": "gamma=1.5"}).loss_arguments == {"gamma": 1.5}
    assert finetune_settings({"loss_arguments": ["a=1", "b=x"]}).loss_arguments == {"a": 1, "b": "x"}
    nested = finetune_settings({"loss_arguments": '{"weights": {"no": 2}}'}).loss_arguments
    assert nested == {"weights": {"no": 2}}


def test_built_in_losses_are_their_formulas(sample):
    logits, labels = sample
    p = logits.softmax(-1)
    right = p[torch.arange(6), labels]
    torch.testing.assert_close(load_loss("cross-entropy")(*sample, {}), -right.log())
    torch.testing.assert_close(load_loss("focal", {"gamma": 2})(*sample, {}), -((1 - right) ** 2) * right.log())
    smoothed = -(0.8 * right.log() + 0.2 * p.log().mean(-1))
    torch.testing.assert_close(load_loss("label-smoothing", {"smoothing": 0.2})(*sample, {}), smoothed)


def test_distillation_is_the_divergence_from_the_teacher(sample):
    logits, labels = sample
    taught = torch.randn(6, 13, generator=torch.Generator().manual_seed(2))  # a wider vocabulary, padded
    loss = load_loss("distillation", {"temperature": 3, "alpha": 1})
    loss.learn_from(torch.nn.Identity(), lambda model, batch: (taught, labels))
    p, q = (taught[:, :11] / 3).softmax(-1), (logits / 3).softmax(-1)
    torch.testing.assert_close(loss(logits, labels, {}), 9 * (p * (p / q).log()).sum(-1))
    loss.learn_from(torch.nn.Identity(), lambda model, batch: (logits, labels))
    assert loss(logits, labels, {}).abs().max() < 1e-6


HERE = Origin("here", 1)


def test_class_weights_are_of_the_answers_and_balance_them():
    tokenizer = tiny_model_tokenizer()
    yes, no = (tokenizer(word, add_special_tokens=False)["input_ids"] for word in ("yes", "no"))
    rows = [TokenizedExample([10, 11, *(no if i % 4 == 0 else yes)], 2, HERE) for i in range(16)]
    balanced = ClassWeighted()
    balanced.prepare(rows, tokenizer)
    assert balanced.by_answer == {tuple(no): 2.0, tuple(yes): pytest.approx(2 / 3)}
    named = ClassWeighted({"no": 3})
    named.prepare(rows, tokenizer)
    assert named.by_answer == {tuple(no): 3.0, tuple(yes): 1.0}
    labels = torch.tensor([*no, *yes])
    logits = torch.randn(len(labels), 384, generator=torch.Generator().manual_seed(0))
    batch = {"target_rows": torch.tensor([0] * len(no) + [1] * len(yes))}
    weights = torch.tensor([3.0] * len(no) + [1.0] * len(yes))
    expected = weights * torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(named(logits, labels, batch), expected)
    with pytest.raises(InputError, match="no row has the class maybe"):
        ClassWeighted({"maybe": 2}).prepare(rows, tokenizer)
    with pytest.raises(InputError, match="requires classes"):
        ClassWeighted().prepare([TokenizedExample([1, 2, n], 2, HERE) for n in range(9)], tokenizer)
    assert balanced_weights({"a": 1, "b": 3}) == {"a": 2.0, "b": pytest.approx(2 / 3)}


def _rows(count):
    chance = random.Random(4)
    return [
        TokenizedExample([9, 8, 7, 6, 5] + [chance.randrange(10, 300) for _ in range(4 + (n % 5))], 5 + (n % 3), HERE)
        for n in range(count)
    ]


def _one_step(batch, accumulation, engine, loss, folder):
    """The weights after one step of plain gradient descent: its gradients, so to say."""
    _, run, model = _trained(batch, accumulation, engine, loss, folder)
    first = json.loads((run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[0])
    return first["loss"], {name: value.detach() for name, value in model.named_parameters()}


def _trained(batch, accumulation, engine, loss, folder, reporter=SILENT):
    model = tiny_model("llama").requires_grad_(True)
    plan = TrainingPlan(batch, accumulation, 16, 1, 1, 0.1, 1, 10, 1)
    given = {"optim": "sgd", "max_grad_norm": 0.0, "lr_scheduler_type": "constant"}
    settings = TrainingSettings(
        engine=engine,
        training_arguments=given,
        load_best_model_at_end=False,
        lr_scheduler_type="constant",
        warmup_ratio=0.0,
    )
    run = RunFolder.create(folder)
    return train(TrainRequest(model, 3, _rows(16), [], settings, plan, run, loss), reporter), run, model


def _own(folder, name):
    return lambda: ChosenLoss("own", load_loss(f"{folder / 'own.py'}:{name}"))


def _distillation():
    return ChosenLoss("distillation", load_loss("distillation"), None, tiny_model("llama", seed=5))


@pytest.mark.parametrize(("engine", "why"), [("exact", "GRAFT_KERNELS is 0"), ("plain", None)])
def test_a_run_says_why_its_engine_went_without_the_compiled_part(engine, why, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_KERNELS", "0")
    reporter = Notes()
    assert _trained(16, 1, engine, None, tmp_path / "run", reporter)[0].kernels_missing == why
    assert [note.partition(": ")[2] for note in reporter.texts if "compiled kernels" in note] == ([why] if why else [])


@pytest.mark.parametrize("engine", ["packed", "plain"])
@pytest.mark.parametrize("loss", ["cross-entropy", "focal", "plain", "each", "distillation"])
def test_accumulation_averages_over_tokens(loss, engine, folder, tmp_path):
    """A batch of 16 and 4 times 4: the same loss and gradients, though the batches have unlike numbers of tokens."""
    makers = {
        "cross-entropy": lambda: None,
        "focal": lambda: ChosenLoss("focal", load_loss("focal")),
        "plain": _own(folder, "plain"),
        "each": _own(folder, "each"),
        "distillation": _distillation,
    }
    whole, weights = _one_step(16, 1, engine, makers[loss](), tmp_path / "whole")
    parts, others = _one_step(4, 4, engine, makers[loss](), tmp_path / "parts")
    assert parts == pytest.approx(whole, rel=1e-5)
    start = dict(tiny_model("llama").named_parameters())
    assert any(not torch.equal(weights[name], start[name]) for name in start)
    for name, weight in weights.items():
        torch.testing.assert_close(others[name], weight, rtol=1e-4, atol=1e-6)


def test_the_uniform_model_loses_what_it_must():
    """ln of the number of classes: the losses are in nats."""
    logits, labels = torch.zeros(2, 16), torch.tensor([1, 2])
    assert load_loss("cross-entropy")(logits, labels, {}).tolist() == pytest.approx([math.log(16)] * 2)


@pytest.mark.parametrize(
    ("given", "name", "arguments"),
    [
        ({"loss": "focal", "gamma": 1.5}, "focal", {"gamma": 1.5}),
        ({"loss": "label-smoothing", "smoothing": "0.2"}, "label-smoothing", {"smoothing": 0.2}),
        ({"loss": "class-weighted", "class_weights": "a=1,b=3"}, "class-weighted", {"weights": {"a": 1, "b": 3}}),
        ({"teacher": "t", "distillation_alpha": 0.7}, "distillation", {"alpha": 0.7}),
        ({"loss": "focal", "loss_arguments": "gamma=1"}, "focal", {"gamma": 1}),
        ({"label_smoothing_factor": 0.3}, "label-smoothing", {"smoothing": 0.3}),
    ],
)
def test_options_of_a_loss_are_its_arguments(given, name, arguments):
    settings = finetune_settings(given)
    assert named_loss(settings) == (name, arguments)
    assert callable(load_loss(name, arguments))
    check_used(settings)


def test_an_option_of_another_loss_or_given_twice_is_refused():
    with pytest.raises(InputError, match=r"--gamma 3.0 is not used by --loss cross-entropy\n.*--loss focal"):
        check_used(finetune_settings({"gamma": 3}))
    with pytest.raises(InputError, match="gamma is given both as an option and in --loss_arguments"):
        named_loss(finetune_settings({"loss": "focal", "gamma": 3, "loss_arguments": "gamma=1"}))
