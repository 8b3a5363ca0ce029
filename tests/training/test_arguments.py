import pytest

from graft.errors import InputError
from graft.training.arguments import check_fields


def test_what_would_send_the_model_away_is_refused():
    with pytest.raises(InputError, match="graft sends nothing") as caught:
        check_fields({"push_to_hub": "true", "max_grad_norm": "0.5"}, set())
    assert "hf upload" in caught.value.problems[0].remedy
    assert check_fields({"push_to_hub": "false"}, set()) == {"push_to_hub": False}


def test_values_take_the_types_of_their_fields():
    given = {"max_grad_norm": "0.5", "gradient_checkpointing": "true", "dataloader_num_workers": "2"}
    assert check_fields(given, set()) == {
        "max_grad_norm": 0.5,
        "gradient_checkpointing": True,
        "dataloader_num_workers": 2,
    }
