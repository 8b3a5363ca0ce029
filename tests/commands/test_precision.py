import json

import pytest
import torch
from safetensors.torch import load_file

from graft.commands.evaluate import evaluate_model
from graft.commands.finetune import carry_out, finetune
from graft.planning.plan import plan_run
from graft.planning.settings import finetune_settings
from graft.progress import Silent


def losses(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.parametrize(("method", "engine"), [("lora", "packed"), ("full", "plain")])
def test_bfloat16_trains_alike_and_leaves_float32(given, tmp_path, method, engine):
    quick = given | {"evaluate": False, "method": method, "engine": engine, "learning_rate": 1e-3}
    if method == "full":
        del quick["lora_dropout"]
    quick |= {"max_steps": 3, "eval_steps": 3, "warmup_ratio": 0.0}
    exact = losses(finetune(quick))
    run = finetune(quick | {"precision": "bf16", "output_path": str(tmp_path / "half")})
    assert losses(run) == pytest.approx(exact, rel=0.02)
    assert losses(run) != exact
    weights = load_file(next(run.glob("adapter/*.safetensors" if method == "lora" else "model/*.safetensors")))
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


def test_what_comes_after_training_is_computed_in_float32(given):
    """The scores of a run that was trained in bfloat16 are those of the model as it is loaded later."""
    run = finetune(given | {"precision": "bf16", "learning_rate": 1e-3, "max_steps": 3, "warmup_ratio": 0.0})
    before = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["predictors"]["tuned"]["perplexity"]
    after = evaluate_model(run)["predictors"]["tuned"]["perplexity"]
    assert after["value"] == pytest.approx(before["value"], rel=1e-6)


def test_auto_is_measured_once_and_recorded(given):
    settings = finetune_settings(given | {"precision": "auto", "max_steps": 2, "evaluate": False})
    plan = plan_run(settings)
    (why,) = [inference.why for inference in plan.inferred if inference.name == "precision"]
    assert "measured on this machine: float32" in why
    run = carry_out(plan, Silent())
    config = (run / "config.yaml").read_text(encoding="utf-8")
    assert f"precision: {plan.training.precision}\n" in config


def test_the_walkthroughs_training_arguments_are_taken(given):
    """Section 10, slow training, as typed: fp16 needs a GPU, and says so where there is none."""
    passed = {"fp16": True, "dataloader_num_workers": 1, "optim": "adamw_torch", "lr_scheduler_type": "cosine"}
    run = finetune(given | {"max_steps": 2, "evaluate": False, "training_arguments": passed})
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["status"] == "finished"
    if not torch.cuda.is_available():
        assert any(i["name"] == "precision" and "GPU" in i["why"] for i in manifest["inferred_settings"])
