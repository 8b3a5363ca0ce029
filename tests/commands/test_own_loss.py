import json
from pathlib import Path

import pytest

from graft.commands.finetune import finetune
from graft.errors import InputError
from loss_files import write_losses
from tiny_models import tiny_model_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_losses(tmp_path_factory.mktemp("losses"))


def _eval_losses(run):
    lines = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["eval_loss"] for line in lines if "eval_loss" in line]


def test_own_losses_train_from_the_settings_to_the_metrics(given, folder):
    quick = given | {"evaluate": False, "max_steps": 2, "overwrite": True}
    reference = _eval_losses(finetune(quick))
    own = _eval_losses(finetune(quick | {"loss": f"{folder / 'own.py'}:plain"}))
    assert own == pytest.approx(reference, rel=1e-5)
    double = _eval_losses(finetune(quick | {"loss": f"{folder / 'own.py'}:scaled", "loss_arguments": {"factor": 2}}))
    assert double[0] == pytest.approx(2 * reference[0], rel=0.1)
    assert len(_eval_losses(finetune(quick | {"loss": "class-weighted"}))) == 1
    smooth = _eval_losses(finetune(quick | {"training_arguments": {"label_smoothing_factor": 0.1}}))
    assert smooth == pytest.approx(_eval_losses(finetune(quick | {"loss": "label-smoothing"})))
    assert smooth != pytest.approx(reference, rel=1e-3)


def test_a_teacher_teaches(given, tmp_path):
    """At alpha 1 the data says nothing, and the distance to the teacher, another model, falls all the same."""
    teacher = tiny_model_folder(tmp_path / "teacher", "llama", seed=5)
    losses = _eval_losses(
        finetune(given | {"evaluate": False, "teacher": str(teacher), "loss_arguments": {"alpha": 1.0}})
    )
    assert losses[-1] < losses[0]
    itself = given | {"evaluate": False, "overwrite": True, "teacher": given["model_name_or_path"], "max_steps": 1}
    assert _eval_losses(finetune(itself | {"loss_arguments": {"alpha": 1.0}, "learning_rate": 1e-9}))[0] < 1e-6


def test_a_loss_that_does_not_fit_writes_nothing(given, folder):
    for wrong in (
        {"loss": f"{folder / 'custom_loss.py'}:CustomContrastiveLoss"},
        {"loss": "distillation"},
        {"loss": "focal", "teacher": given["model_name_or_path"]},
    ):
        with pytest.raises(InputError, match=r"logits, labels|requires a teacher|different losses"):
            finetune(given | wrong)
        assert not Path(given["output_path"]).exists()


def test_a_teacher_of_another_vocabulary_is_refused(given, tmp_path):
    teacher = tiny_model_folder(tmp_path / "other", "llama")
    file = teacher / "tokenizer.json"
    file.write_text(file.read_text(encoding="utf-8").replace("<|pad|>", "<|padding|>"), encoding="utf-8")
    config = teacher / "tokenizer_config.json"
    config.write_text(config.read_text(encoding="utf-8").replace("<|pad|>", "<|padding|>"), encoding="utf-8")
    with pytest.raises(InputError, match="the teacher has a different tokenizer"):
        finetune(given | {"teacher": str(teacher)})
