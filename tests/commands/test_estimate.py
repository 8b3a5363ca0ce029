import pytest

from graft.planning.estimate import estimate, layer_weights
from graft.planning.plan import plan_run
from graft.planning.settings import finetune_settings
from tiny_models import tiny_model


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3", "phi3", "gpt2"])
def test_the_weights_of_the_layers_are_those_of_the_model(family):
    model = tiny_model(family)
    counted = sum(
        p.numel() for name, p in model.named_parameters() if p.ndim == 2 and (".layers." in name or ".h." in name)
    )
    assert layer_weights(model.config.to_dict()) == counted


def test_more_steps_take_longer_and_more_rows_more_memory(given):
    def of(**changes):
        return estimate(plan_run(finetune_settings({**given, **changes})))

    assert of(max_steps=100_000).minutes > of(max_steps=100).minutes
    assert of(per_device_train_batch_size=16).memory_mb >= of(per_device_train_batch_size=1).memory_mb
