import pytest
import torch
import yaml

from graft.methods import METHODS
from graft.planning.settings import finetune_settings
from graft.runs import health
from graft.runs.remedies import changes, patch, repeat_command
from graft.training.callbacks import gpu_memory_mb


def curve(values, every=1):
    return [((index + 1) * every, value) for index, value in enumerate(values)]


FALLING = curve([2.0 - 0.018 * n for n in range(100)])


def test_overfitting_is_a_rising_held_out_loss_under_a_falling_training_loss():
    found = health.overfitting(FALLING, curve([1.6, 1.2, 1.0, 1.1, 1.2, 1.3], every=10))
    assert found is not None and (found.step, found.noticed) == (30, 50)
    assert "since step 30" in found.message and "1.000 to 1.300" in found.message
    assert any("lora_r" in remedy for remedy in found.remedies)


def test_one_rise_and_a_wobble_are_no_overfitting():
    assert health.overfitting(FALLING, curve([1.6, 1.2, 1.0, 1.1], every=10)) is None
    assert health.overfitting(FALLING, curve([1.6, 1.2, 1.0, 1.001, 1.002, 1.003], every=10)) is None
    assert health.overfitting(FALLING, curve([1.6, 1.2, 1.0, 1.1, 0.9], every=10)) is None


def test_when_the_training_loss_rises_too_it_is_something_else():
    rising = curve([1.0 + 0.01 * n for n in range(100)])
    assert health.overfitting(rising, curve([1.6, 1.2, 1.0, 1.1, 1.2, 1.3], every=10)) is None


def test_held_out_losses_that_jump_about_above_the_lowest_are_overfitting_too():
    found = health.overfitting(FALLING, curve([1.6, 1.0, 1.3, 1.2, 1.3], every=10))
    assert found is not None and found.step == 20


def test_it_is_told_as_soon_as_it_shows():
    held_out = curve([1.6, 1.2, 1.0, 1.1, 1.2, 1.3], every=10)
    told = [end for end in range(1, 7) if health.overfitting(FALLING, held_out[:end])]
    assert told == [5, 6]


@pytest.mark.parametrize(
    ("values", "diverges"),
    [
        ([2.0, 1.5, 1.0] + [0.8] * 10 + [7.0] * 5, True),
        ([2.0, 1.5, 1.0] + [0.8] * 10 + [7.0] * 4 + [0.9], False),
        ([2.0] * 20, False),
        ([0.01, 0.02, 0.01, 0.0, 0.01, 0.1, 0.2, 0.15, 0.3, 0.2, 0.1], False),  # small batches of what is known
        ([2.0] * 4 + [9.0] * 5, False),  # too few steps to know where it started
    ],
)
def test_divergence_is_a_loss_that_stays_above_its_start(values, diverges):
    found = health.divergence(curve(values))
    assert (found is not None) == diverges
    if found:
        assert found.step == len(values) - 4


def test_a_spike_is_one_step():
    assert health.spike(curve([2.0] + [0.5] * 10 + [4.0])).step == 12
    assert health.spike(curve([2.0] + [0.5] * 10 + [1.2])) is None
    assert health.spike(curve([2.0] + [0.5] * 10 + [4.0, 0.5])) is None
    assert health.spike(curve([1.9, 1.5, 1.6, 0.3, 0.9, 1.7, 0.2, 2.2])) is None  # batches of four rows jump about


def test_a_plateau_is_told_once_there_is_enough_to_see():
    assert health.plateau(curve([2.0, 2.01, 1.99, 2.0] * 10)) is not None
    assert health.plateau(curve([2.0, 2.01, 1.99, 2.0] * 5)) is None
    assert health.plateau(FALLING) is None
    assert health.plateau(curve([0.01] * 40)) is None


def test_held_out_losses_decide_whether_it_stands_still():
    noisy = curve([2.1, 2.2, 2.0, 2.1] * 5 + [2.0, 2.1, 1.9, 2.0] * 5)
    assert health.plateau(noisy) is None
    assert health.plateau(noisy, curve([2.05, 2.05, 2.045], every=10)) is not None
    assert health.plateau(noisy, curve([2.05, 2.0, 1.9], every=10)) is None
    learned_early = curve([2.0] * 10 + [0.5] * 30)
    assert health.plateau(learned_early, curve([0.5, 0.5, 0.5], every=10)) is None


@pytest.mark.parametrize(("rate", "word"), [(1e-2, "high"), (1e-6, "low"), (2e-4, None), (1e-5, None), (2e-3, None)])
def test_learning_rates_are_judged_by_the_method(rate, word):
    found = health.learning_rate_out_of_range(rate, 2e-4, "lora")
    assert (found is None) == (word is None)
    if found:
        assert f"is {word} for lora" in found.message


def test_memory_is_nearly_full_at_a_twentieth():
    assert health.memory_nearly_full((1300, 24_000, 3000)) is None
    found = health.memory_nearly_full((1100, 24_000, 3000))
    assert "1,100 of 24,000 MB" in found.message and any("qlora" in remedy for remedy in found.remedies)


def test_a_gpus_memory_is_judged_by_when_it_was_fullest():
    """In the backward pass 15,500 of 16,000 MB were given out; now, after the step, most of it is free again."""
    room = (20_000, 24_000, 3000)
    fullest = health.at_peak(free=100, total=16_000, reserved=15_800, peak=15_500)
    assert fullest == (400, 16_000, 15_500)
    found = health.memory_nearly_full(room, [(9_000, 16_000, 7_000), fullest])
    assert found.kind == "memory"
    assert found.message == ("the memory of GPU 1 is nearly full: 400 of 16,000 MB are left, and this run holds 15,500")
    assert health.memory_nearly_full(room, [health.at_peak(100, 16_000, 15_800, 15_000)]) is None
    assert health.memory_nearly_full(room, [(0.0, 0.0, 0.0)]) is None  # a device that is not used
    both = health.memory_nearly_full((1000, 24_000, 3000), [fullest]).message
    assert both.startswith("memory is nearly full") and "GPU 0" in both


def test_without_a_gpu_there_is_none_to_watch():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert gpu_memory_mb() == []


def less(name, **options):
    method = METHODS.get(name)
    return method.less_capacity(method.Config(**options))


def after(changed):
    return {name: value for name, (_, value) in changed.items()}


def test_the_patch_is_yaml_that_settings_accept():
    settings = finetune_settings({}).model_dump(mode="json")
    changed = changes("overfitting", settings, 2e-4, less("lora"))
    text = patch(changed, repeat_command("runs/tone", "overfitting", {}), "overfitting: since step 30 …")
    wanted = {"lora_r": 8, "lora_alpha": 8, "lora_dropout": 0.1, "weight_decay": 0.01}
    assert yaml.safe_load(text) == wanted == after(changed)
    assert finetune_settings(yaml.safe_load(text)).lora_r == 8
    assert "lora_alpha: 8  # was 32" in text
    assert "--config runs/tone/config.yaml runs/tone/overfitting.yaml" in text


def test_a_second_patch_goes_further():
    once = after(changes("overfitting", {}, 2e-4, less("qlora")))
    decay = once.pop("weight_decay")
    twice = after(changes("overfitting", {"weight_decay": decay}, 2e-4, less("qlora", **once)))
    assert twice["lora_r"] == 4 and twice["lora_dropout"] > 0.1 and twice["weight_decay"] > 0.01
    full = changes("overfitting", finetune_settings({"method": "full"}).model_dump(), 2e-5, less("full"))
    assert after(full) == {"learning_rate": 1e-5, "weight_decay": 0.01}
    narrower = after(changes("overfitting", {}, 1e-4, less("adapters", reduction_factor=16.0)))
    assert narrower == {"reduction_factor": 32.0, "lora_dropout": 0.1, "weight_decay": 0.01}
    divergence = changes("divergence", {"warmup_ratio": 0.05}, 2e-3, {})
    assert after(divergence) == {"learning_rate": 5e-4, "warmup_ratio": 0.1}
