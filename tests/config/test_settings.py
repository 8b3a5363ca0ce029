import pytest

from graft.errors import InputError
from graft.planning.settings import finetune_settings


def test_users_own_names_are_understood():
    made = finetune_settings({"lr": "1e-4", "r": 8, "lora-alpha": 16, "target-modules": "c_attn,c_proj"})
    assert (made.learning_rate, made.lora_r, made.lora_alpha) == (1e-4, 8, 16)
    assert made.target_modules == ("c_attn", "c_proj")


def test_everything_wrong_is_said_together():
    with pytest.raises(InputError) as caught:
        finetune_settings({"max_step": 1, "lora_dropout": 2, "seed": "x", "loss_on": "prompt"})
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "did you mean max_steps?" in text and "lora_dropout" in text and "seed" in text and "loss_on" in text


def test_one_setting_by_two_names():
    with pytest.raises(InputError, match="are the same setting, given with different values"):
        finetune_settings({"lr": 1e-4, "learning_rate": 2e-4})


def test_newlines_typed_in_a_shell_and_other_letters():
    made = finetune_settings({"text_template": "質問: {a}\\n答え: {b}"})
    assert made.text_template == "質問: {a}\n答え: {b}"
