import pytest

from graft.errors import InputError
from graft.training.arguments import check_fields


def test_what_would_send_the_model_away_is_refused():
    with pytest.raises(InputError, match="graft does not upload anything") as caught:
        check_fields({"push_to_hub": "true", "max_grad_norm": "0.5"}, set())
    assert "hf upload" in caught.value.problems[0].remedy
    assert check_fields({"push_to_hub": "false"}, set()) == {}


def test_values_take_the_types_of_their_fields():
    given = {"max_grad_norm": "0.5", "gradient_checkpointing": "true", "dataloader_num_workers": "2"}
    assert check_fields(given, set()) == {
        "max_grad_norm": 0.5,
        "gradient_checkpointing": True,
        "dataloader_num_workers": 2,
    }


def test_values_out_of_type_are_refused_in_the_same_words_as_all_others():
    given = {
        "max_grad_norm": "x",
        "fp16": "maybe",
        "dataloader_num_workers": 1.5,
        "eval_delay": ["1", "more"],
        "adam_beta1": True,
        "optim": "adamw_troch",
        "lr_scheduler_kwargs": 3,
        "label_names": 3,
    }
    with pytest.raises(InputError) as caught:
        check_fields(given, set(), lambda name: "c.yaml" if name == "fp16" else "")
    said = {problem.what.split()[0].lstrip("-"): problem for problem in caught.value.problems}
    assert said.keys() == given.keys()
    assert said["max_grad_norm"].what == "--max_grad_norm must be a number, not 'x'"
    assert str(said["fp16"]) == "c.yaml: fp16 must be true or false, not 'maybe'"
    assert said["dataloader_num_workers"].what == "--dataloader_num_workers must be a whole number, not 1.5"
    assert said["eval_delay"].what.startswith("--eval_delay accepts one value, not 1, more")
    assert said["adam_beta1"].what == "--adam_beta1 must be a number; no value is given"
    assert said["lr_scheduler_kwargs"].what == "--lr_scheduler_kwargs must be a mapping or text, not 3"
    assert said["label_names"].what == "--label_names must be a list of names, not 3"
    assert "adamw_torch, " in said["optim"].what and said["optim"].remedy == "did you mean adamw_torch?"
