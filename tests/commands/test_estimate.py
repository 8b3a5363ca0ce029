import json
import os

import pytest

from graft.hardware.machine import Load
from graft.planning.estimate import busy_words, estimate, memory_of, plan_footprint
from graft.planning.plan import plan_run
from graft.planning.settings import finetune_settings


def whole(given, **changes):
    """The settings without those of LoRA."""
    return {**{name: value for name, value in given.items() if not name.startswith("lora_")}, **changes}


def of(given, **changes):
    return estimate(plan_run(finetune_settings({**given, **changes})))


def test_more_steps_take_longer_and_more_rows_more_memory(given):
    assert of(given, max_steps=1_000_000).minutes > of(given, max_steps=100).minutes
    plans = [plan_run(finetune_settings({**given, "per_device_train_batch_size": size})) for size in (1, 16)]
    few, many = (plan_footprint(plan) for plan in plans)
    assert many.step > few.step


def test_the_optimizer_has_eight_bytes_a_trained_parameter(given):
    plan = plan_run(finetune_settings(whole(given, method="full", evaluate=False)))
    without = plan_run(finetune_settings(whole(given, method="full", evaluate=False, optim="sgd")))
    found = plan_footprint(plan)
    large = found.__class__(**{**vars(found), "trained": 2**20})
    adam, sgd = (memory_of(one, large, 0.0).training for one in (plan, without))
    assert adam - sgd == 8


def test_a_measurement_is_kept_and_made_again_where_asked(given, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    first = of(given, max_steps=1_000_000)
    (kept,) = (tmp_path / "cache" / "benchmarks").glob("steps-*.json")
    speed = json.loads(kept.read_text())
    speed["training"]["wall"] *= 100
    speed["busy"] = 0.6
    kept.write_text(json.dumps(speed))
    slower = of(given, max_steps=1_000_000)
    assert slower.minutes > 10 * first.minutes and "60%" in slower.busy
    again = estimate(plan_run(finetune_settings({**given, "max_steps": 1_000_000})), again=True)
    assert again.minutes < slower.minutes / 3


@pytest.mark.parametrize("damage", ["not JSON", "[]", '{"training": {"wall": "soon", "cpu": 1}, "busy": 0}'])
def test_a_damaged_measurement_is_made_again(given, tmp_path, monkeypatch, damage):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    of(given)
    (kept,) = (tmp_path / "cache" / "benchmarks").glob("steps-*.json")
    whole = json.loads(kept.read_text())
    kept.write_text(damage if not damage.startswith("{") else json.dumps(whole | json.loads(damage)))
    assert of(given).minutes >= 0
    assert json.loads(kept.read_text()).keys() == whole.keys()


def test_a_busy_machine_is_said():
    assert busy_words(0.1) is None and "70%" in busy_words(0.7)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="counts the processor's time as Linux does")
def test_the_load_of_others_is_a_share():
    load = Load()
    sum(range(2_000_000))
    assert 0 <= load.of_others() <= 1


def test_a_model_whose_code_needs_weights_is_guessed(given, monkeypatch, tmp_path):
    method = tmp_path / "own.py"
    method.write_text(
        "from graft.methods.full import Full\n"
        "class Own(Full):\n"
        "    name = 'own'\n"
        "    def prepare(self, model, config, seed, heads=()):\n"
        "        float(next(model.parameters()).sum())\n"
        "        return model.requires_grad_(True)\n"
        "OWN = Own()\n"
    )
    found = of(whole(given, method=f"{method}:OWN", trust_remote_code=True))
    assert found.memory_mb > 0 and found.trained > 0
