import pytest

from graft.config import TrainingSettings
from graft.training.schedule import make_plan

SMALL = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30}


def plan(rows=2000, tokens=80, memory=16_000, **given):
    return make_plan(TrainingSettings(**given), 2e-4, rows, tokens, SMALL, memory)


def test_what_is_given_is_kept():
    made = plan(max_steps=7, per_device_train_batch_size=3, learning_rate=1e-4, eval_steps=2, save_steps=4)
    assert (made.steps, made.batch_size, made.learning_rate, made.eval_steps, made.save_steps) == (7, 3, 1e-4, 2, 4)
    assert not made.inferred


def test_epochs_become_steps():
    made = plan(rows=100, per_device_train_batch_size=8, num_train_epochs=2)
    assert made.steps_per_epoch == 13 and made.steps == 26


def test_little_memory_makes_small_batches_with_the_same_rows_a_step():
    made = plan(memory=500, tokens=200)
    assert made.batch_size < 16 and made.batch_size * made.accumulation == 16
    assert {"per_device_train_batch_size", "gradient_accumulation_steps"} <= {i.name for i in made.inferred}


@pytest.mark.parametrize(("rows", "batch"), [(5, 1), (40, 4), (10_000, 16)])
def test_few_rows_make_small_batches(rows, batch):
    assert plan(rows=rows).batch_size == batch


def test_an_interval_below_one_is_a_share():
    assert plan(max_steps=100, eval_steps=0.1).eval_steps == 10
