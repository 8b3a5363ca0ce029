import pytest

from graft.config import TrainingSettings
from graft.errors import InputError
from graft.hardware.benchmark import training_rates
from graft.planning.settings import finetune_settings
from graft.training.precision import choose_precision

SMALL = {"hidden_size": 64, "intermediate_size": 128}


def machine(**rates):
    """One with these rates."""
    return lambda *shape, device, formats: {name: rates[name] for name in ("float32", *formats)}


def never(*shape, device, formats):
    raise AssertionError("nothing is to be measured")


def test_rates_are_of_passes_that_ran():
    rates = training_rates(64, 128, seconds=0.05, formats=("bfloat16",))
    assert set(rates) == {"float32", "bfloat16"} and min(rates.values()) > 0


@pytest.mark.parametrize(
    ("bfloat16", "chosen"),
    [(50, "float32"), (200, "float32"), (240, "float32"), (260, "bfloat16")],
)
def test_auto_takes_what_is_measured_to_be_worth_it(bfloat16, chosen):
    here = machine(float32=200.0, bfloat16=float(bfloat16))
    found, why = choose_precision(TrainingSettings(precision="auto"), SMALL, "cpu", here)
    assert found == chosen
    assert f"bfloat16 {bfloat16} GFLOP/s" in why[0].why


def test_without_a_word_a_cpu_computes_in_float32_and_measures_nothing():
    assert choose_precision(TrainingSettings(), SMALL, "cpu", never) == ("float32", [])


def test_a_gpu_is_measured_without_a_word():
    here = machine(float32=20.0, bfloat16=90.0, float16=100.0)
    assert choose_precision(TrainingSettings(), SMALL, "cuda", here)[0] == "float16"


def test_what_is_given_and_slow_is_kept_and_said():
    here = machine(float32=200.0, bfloat16=50.0)
    found, why = choose_precision(TrainingSettings(training_arguments={"bf16": "true"}), SMALL, "cpu", here)
    assert found == "bfloat16" and "slower than float32 on this machine" in why[0].why


def test_the_walkthroughs_fp16_needs_a_gpu():
    found, why = choose_precision(TrainingSettings(training_arguments={"fp16": True}), SMALL, "cpu")
    assert found == "float32" and "requires a GPU" in why[0].why


def test_names_as_people_write_them():
    for name, wanted in (("bf16", "bfloat16"), ("fp16", "float16"), ("fp32", "float32"), ("auto", "auto")):
        assert finetune_settings({"precision": name}).precision == wanted
    with pytest.raises(InputError, match="precision"):
        finetune_settings({"precision": "fp8"})
    with pytest.raises(InputError, match="several precisions"):
        choose_precision(TrainingSettings(precision="float32", training_arguments={"bf16": True}), SMALL, "cpu")
