"""Each field of ``TrainingArguments`` has its effect, or is refused by name."""

import dataclasses
import json

import pytest
import torch
import transformers
from safetensors.torch import load_file

from graft.commands.finetune import finetune
from graft.config import TrainingSettings, option_names
from graft.errors import InputError
from graft.planning.plan import plan_run
from graft.planning.settings import finetune_settings
from graft.training.arguments import check_fields
from graft.training.checkpoints import seal, step_of, whole_checkpoints
from graft.training.passed_fields import EFFECTIVE, FORMER, PASSED_FIELDS, REFUSED
from tiny_models import tiny_model_folder
from tiny_task_models import tiny_bert_folder

WORDS = ("fine", "wet", "warm and dry", "cold", "so so", "bright for most of the day")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("models"), "llama")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """26 rows of many lengths: with 16 to train on, batches of 5 leave one of a single row."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [{"prompt": f"{WORDS[n % 6]} {'day ' * (n % 7)}{n}", "completion": f"{WORDS[n % 5]} {n}"} for n in range(26)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def given(model, data, tmp_path):
    return {
        "model_name_or_path": str(model),
        "data_files": str(data),
        "output_path": str(tmp_path / "run"),
        "eval_share": 0.385,
        "max_steps": 4,
        "per_device_train_batch_size": 5,
        "learning_rate": 1e-2,
        "evaluate": False,
    }


def adapter(run):
    return load_file(run / "adapter" / "adapter_model.safetensors")


def logged(run, name):
    """The figure ``name`` by step."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return {line["step"]: line[name] for line in lines if name in line}


def checkpoints(run):
    return [step_of(path) for path in whole_checkpoints(run / "checkpoints")]


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def refused(given):
    with pytest.raises(InputError) as caught:
        plan_run(finetune_settings(given))
    return [str(problem) for problem in caught.value.problems]


@pytest.fixture(scope="module")
def plain(model, data, tmp_path_factory):
    """The adapter of a run without further fields."""
    return adapter(
        finetune(
            {
                "model_name_or_path": str(model),
                "data_files": str(data),
                "output_path": str(tmp_path_factory.mktemp("plain") / "run"),
                "eval_share": 0.385,
                "max_steps": 4,
                "per_device_train_batch_size": 5,
                "learning_rate": 1e-2,
                "evaluate": False,
            }
        )
    )


def test_the_table_has_every_field_of_the_pinned_transformers():
    fields = {field.name for field in dataclasses.fields(transformers.TrainingArguments)}
    assert set(PASSED_FIELDS) == fields - set(option_names(TrainingSettings))
    assert not EFFECTIVE.keys() & REFUSED.keys()
    assert all(field.effect and not field.refused for field in EFFECTIVE.values())
    assert all(field.refused and field.remedy for field in REFUSED.values())


def test_a_field_of_a_newer_transformers_is_refused(monkeypatch):
    monkeypatch.delitem(PASSED_FIELDS, "max_grad_norm")
    with pytest.raises(InputError, match=rf"max_grad_norm is a field of transformers {transformers.__version__} that"):
        check_fields({"max_grad_norm": 1}, set())


TRAINED_OTHERWISE = {
    "optim": "adafactor",
    "optim-sgd": "sgd",
    "adafactor": True,
    "optim_args": "momentum=0.9",
    "adam_beta1": 0.5,
    "adam_beta2": 0.5,
    "adam_epsilon": 0.1,
    "max_grad_norm": 1e-3,
    "warmup_steps": 3,
    "warmup_steps-none": 0,
    "lr_scheduler_kwargs": {"num_cycles": 2},
    "label_smoothing_factor": 0.2,
    "neftune_noise_alpha": 5,
    "bf16": True,
    "data_seed": 7,
    "train_sampling_strategy": "sequential",
    "train_sampling_strategy-random": "random",
    "train_sampling_strategy-length": "group_by_length",
    "group_by_length": True,
    "dataloader_drop_last": True,
}


@pytest.mark.parametrize("case", TRAINED_OTHERWISE)
def test_the_adapter_is_another(given, plain, case):
    fields = {case.split("-")[0]: TRAINED_OTHERWISE[case]}
    if case == "optim_args":
        fields |= {"optim": "sgd"}
        plain = adapter(finetune(given | {"optim": "sgd", "output_path": given["output_path"] + "-sgd"}))
    assert not same(adapter(finetune(given | fields)), plain)


TRAINED_ALIKE = {
    "warmup_ratio": 0.05,
    "eval_strategy": "no",
    "save_strategy": "no",
    "activation_checkpointing": True,
    "gradient_checkpointing": True,
    "dataloader_num_workers": 1,
    "full_determinism": True,
    "use_cpu": True,
    "eval_on_start": True,
    "do_train": True,
    "do_eval": True,
    "max_steps": 4,
    "remove_unused_columns": False,
    "resume_from_checkpoint": None,
    "deepspeed": "",
    "push_to_hub": False,
    "auto_find_batch_size": "false",
}


@pytest.mark.parametrize("field", ["full_determinism", "eval_on_start", "dataloader_num_workers", "use_cpu"])
def test_the_adapter_is_the_same(given, plain, field):
    try:
        run = finetune(given | {field: TRAINED_ALIKE[field], "eval_steps": 4})
        assert torch.are_deterministic_algorithms_enabled() == (field == "full_determinism")
    finally:
        torch.use_deterministic_algorithms(False)
    assert same(adapter(run), plain)
    if field == "eval_on_start":
        assert list(logged(run, "eval_loss")) == [0, 4]


@pytest.mark.parametrize("field", TRAINED_ALIKE)
def test_what_asks_for_nothing_or_for_what_holds_anyway_is_taken(given, field):
    plan_run(finetune_settings(given | {field: TRAINED_ALIKE[field]}))


WRONG_VALUES = {
    "run_name": "x",
    "project": "x",
    "average_tokens_across_devices": False,
    "accelerator_config": {"split_batches": True},
    "parallelism_config": None,
    "ddp_find_unused_parameters": True,
    "ddp_bucket_cap_mb": 25,
    "ddp_broadcast_buffers": False,
    "ddp_static_graph": True,
    "ddp_backend": "gloo",
    "ddp_timeout": 60,
    "fsdp": "full_shard",
    "fsdp_config": {"xla": True},
    "deepspeed": "ds.json",
    "local_rank": 1,
    "log_on_each_node": False,
    "log_level_replica": "debug",
    "hub_strategy": "end",
    "hub_model_id": "a/b",
    "hub_revision": "x",
    "hub_token": "hf_secret",
    "trackio_space_id": "a",
    "trackio_bucket_id": "a",
    "trackio_static_space_id": "a",
    "torch_compile_backend": "eager",
    "torch_compile_mode": "default",
    "liger_kernel_config": {"rope": True},
    "logging_nan_inf_filter": False,
    "disable_tqdm": False,
    "eval_do_concat_batches": False,
    "eval_accumulation_steps": 2,
    "include_for_metrics": ["loss"],
    "remove_unused_columns": "x",
    "label_names": ["x"],
    "length_column_name": "len",
    "debug": "underflow_overflow",
    "skip_memory_metrics": False,
    "do_train": False,
    "do_eval": "false",
    "resume_from_checkpoint": "run/checkpoints/checkpoint-2",
}


@pytest.mark.parametrize("field", sorted(REFUSED))
def test_a_refused_field_is_named_with_what_to_do(field):
    value = WRONG_VALUES.get(field, True)
    if value is None or field == "remove_unused_columns":
        return  # no value that a user could write is refused
    with pytest.raises(InputError) as caught:
        check_fields({field: value}, set())
    (problem,) = caught.value.problems
    assert f"--{field}" in problem.what and "is not supported: " in problem.what and problem.remedy
    assert "hf_secret" not in problem.what


@pytest.mark.parametrize("field", sorted(FORMER))
def test_a_field_of_older_versions_is_named_with_what_to_do(field):
    assert check_fields({field: False}, set()) == {} or field == "save_safetensors"
    with pytest.raises(InputError, match=f"--{field}.* is not supported: "):
        check_fields({field: 7}, set())


@pytest.mark.parametrize("name", ["lomo", "galore_adamw_layerwise"])
def test_values_that_would_do_less_than_they_say_are_refused(name):
    with pytest.raises(InputError, match=rf"--optim {name} is not supported"):
        check_fields({"optim": name}, set())
    with pytest.raises(InputError, match=r"batch_rebalance is not supported: it balances the load of several"):
        check_fields({"train_sampling_strategy": "batch_rebalance"}, set())


NOTHING_TO_DO = [
    ({"num_train_epochs": 2}, "--num_train_epochs 2 would do nothing: --max_steps 4 sets"),
    ({"warmup_steps": 4}, "--warmup_steps 4: the run has 4 steps, so it never reaches its learning rate"),
    ({"warmup_steps": 400}, "--warmup_steps 400: the run has 4 steps"),
    ({"warmup_steps": -1}, "--warmup_steps must be 0 or more"),
    ({"warmup_steps": 2, "warmup_ratio": 0.1}, "--warmup_ratio 0.1 would do nothing: --warmup_steps 2 is given"),
    ({"warmup_steps": 2, "lr_scheduler_type": "constant"}, "the schedule constant has no warm-up"),
    ({"warmup_ratio": 0.5, "lr_scheduler_type": "constant"}, "the schedule constant has no warm-up"),
    ({"lr_scheduler_kwargs": {"a": 1}, "lr_scheduler_type": "constant"}, "the schedule constant takes no arguments"),
    ({"lr_scheduler_kwargs": {"no_such": 1}}, "--lr_scheduler_type cosine: "),
    ({"lr_scheduler_type": "cosine_with_min_lr"}, "--lr_scheduler_type cosine_with_min_lr: "),
    ({"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "no"}, "which --eval_strategy no does not measure"),
    ({"optim": "sgd", "adam_beta1": 0.5}, "--adam_beta1 0.5 would do nothing: --optim sgd does not read it"),
    ({"optim_args": "momentum=0.9"}, "--optim_args momentum=0.9 would do nothing: --optim adamw_torch_fused"),
    ({"optim": "sgd", "optim_args": "momentm=0.9"}, "--optim_args momentm=0.9 would do nothing"),
    ({"optim": "sgd", "optim_args": "momentum"}, "--optim_args must be name=value"),
    ({"optim_target_modules": "all-linear"}, "--optim_target_modules would do nothing"),
    ({"adam_beta1": 2}, "--optim adamw_torch_fused: "),
    ({"activation_checkpointing_kwargs": {"use_reentrant": False}}, "it needs --activation_checkpointing or"),
    ({"gradient_checkpointing": True, "activation_checkpointing": False}, "are the same, given with different values"),
    ({"dataloader_prefetch_factor": 2}, "it needs --dataloader_num_workers"),
    ({"dataloader_persistent_workers": True}, "it needs --dataloader_num_workers"),
    ({"dataloader_num_workers": -1}, "--dataloader_num_workers must be 0 or more"),
    ({"dataloader_drop_last": True, "per_device_train_batch_size": 64}, "--dataloader_drop_last omits every batch"),
    ({"neftune_noise_alpha": -1}, "--neftune_noise_alpha must be 0 or more"),
    ({"eval_steps": 2, "eval_strategy": "epoch"}, "--eval_steps 2 would do nothing: --eval_strategy is epoch"),
    ({"save_steps": 2, "save_strategy": "best"}, "--save_steps 2 would do nothing: --save_strategy is best"),
    ({"logging_steps": 2, "logging_strategy": "no"}, "--logging_steps 2 would do nothing"),
    ({"save_total_limit": 2, "save_strategy": "no"}, "--save_total_limit 2 would do nothing"),
    ({"save_only_model": True, "save_strategy": "no"}, "--save_only_model would do nothing"),
    ({"logging_first_step": True, "logging_strategy": "no"}, "contradict each other"),
    ({"load_best_model_at_end": True, "save_strategy": "no"}, "--load_best_model_at_end would do nothing"),
    ({"early_stopping_patience": 2, "eval_strategy": "no"}, "--early_stopping_patience 2 would do nothing"),
    ({"load_best_model_at_end": True, "eval_strategy": "no"}, "--load_best_model_at_end would do nothing"),
    ({"save_strategy": "best", "eval_strategy": "no"}, "--save_strategy best would do nothing"),
    ({"eval_on_start": True, "eval_strategy": "no"}, "--eval_on_start would do nothing"),
    ({"eval_delay": 2, "eval_strategy": "no"}, "--eval_delay 2.0 would do nothing"),
    ({"eval_delay": 5}, "--eval_delay 5: the run has 4 steps, so nothing would be evaluated"),
    ({"eval_delay": 3, "eval_strategy": "epoch"}, "--eval_delay 3: the run has 1 epochs"),
    ({"metric_for_best_model": "exact_match", "eval_strategy": "no"}, "--metric_for_best_model exact_match would do"),
    ({"metric_for_best_model": "exact_mach"}, "did you mean exact_match?"),
    ({"metric_for_best_model": "accuracy"}, "accuracy cannot be measured for text-generation on these rows"),
    ({"metric_for_best_model": "loss", "greater_is_better": True}, "a lower loss is better"),
    ({"metric_for_best_model": "exact_match", "greater_is_better": False}, "greater exact_match is better"),
    ({"greater_is_better": True}, "it needs --metric_for_best_model"),
    (
        {"metric_for_best_model": "exact_match", "load_best_model_at_end": False, "early_stopping_patience": 0},
        "neither the best weights are kept nor does training stop early",
    ),
    ({"run_name": "x"}, "--run_name x is not supported: graft sends nothing to a service"),
    ({"project": "x", "report_to": ["tensorboard"]}, "--project x is not supported: graft sends nothing"),
    ({"report_to": ["wandb"]}, "--report_to wandb is not supported: graft sends nothing to a service"),
    ({"report_to": ["all"]}, "--report_to all is not supported"),
    ({"training_arguments": {"label_smoothing_factor": "x"}}, "--label_smoothing_factor must be a number, not 'x'"),
    ({"training_arguments": {"max_steps": 3}}, "max_steps is among training_arguments"),
]


@pytest.mark.parametrize(("fields", "said"), NOTHING_TO_DO, ids=[said[:40] for _, said in NOTHING_TO_DO])
def test_what_would_do_nothing_or_contradicts_is_said(given, fields, said):
    (problem,) = refused(given | fields)
    assert said in problem


@pytest.mark.skipif(torch.cuda.is_available(), reason="has an effect there")
@pytest.mark.parametrize("fields", [{"tf32": True}, {"torch_empty_cache_steps": 2}])
def test_what_needs_a_gpu_is_said_where_there_is_none(given, fields):
    (problem,) = refused(given | fields)
    assert "it needs a CUDA GPU" in problem


def test_all_of_it_is_said_at_once_before_anything_is_written(given, tmp_path):
    fields = {"auto_find_batch_size": True, "optim": "adamw_troch", "warmup_steps": "x", "data_files": "none.jsonl"}
    said = "\n".join(refused({**given, "training_arguments": fields | {"data_files": str(tmp_path / "none.jsonl")}}))
    assert "--auto_find_batch_size true is not supported" in said and "did you mean adamw_torch?" in said
    assert "--warmup_steps must be a number" in said
    assert not (tmp_path / "run").exists()


def test_minus_one_is_off_and_settings_may_stand_among_the_fields(given):
    settings = finetune_settings(given | {"max_steps": -1, "num_train_epochs": 1})
    assert settings.max_steps is None
    assert plan_run(settings).training.steps == 4
    del given["max_steps"]
    passed = {"learning_rate": 1e-2, "epochs": 2, "seed": 3, "max_grad_norm": 0.5}
    settings = finetune_settings(given | {"training_arguments": passed})
    assert (settings.num_train_epochs, settings.seed) == (2, 3)
    assert settings.training_arguments == {"max_grad_norm": 0.5}


def test_a_bare_no_of_yaml_is_no():
    assert check_fields({"eval_strategy": False, "evaluation_strategy": "epoch"}, set()) == {"eval_strategy": "epoch"}
    assert check_fields({"save_strategy": False}, set()) == {"save_strategy": "no"}


def test_a_run_of_one_step_has_no_warm_up(given):
    run = finetune(given | {"max_steps": 1})
    assert logged(run, "learning_rate") == {1: pytest.approx(1e-2)}


def test_checkpoints_come_when_the_strategy_says(given):
    runs = {}
    for strategy in ("no", "epoch", "best"):
        fields = {"save_strategy": strategy, "output_path": f"{given['output_path']}-{strategy}", "max_steps": 6}
        if strategy == "epoch":
            fields["load_best_model_at_end"] = False  # which also saves the best
        runs[strategy] = finetune(given | fields)
    assert checkpoints(runs["no"]) == []
    assert checkpoints(runs["epoch"]) == [4, 6]
    best = json.loads((runs["best"] / "manifest.json").read_text(encoding="utf-8"))["training"]["best_step"]
    assert best in checkpoints(runs["best"])
    inferred = json.loads((runs["no"] / "manifest.json").read_text(encoding="utf-8"))["inferred_settings"]
    assert {"load_best_model_at_end"} <= {setting["name"] for setting in inferred}


def test_evaluations_and_logs_come_when_the_strategy_says(given):
    run = finetune(given | {"eval_strategy": "epoch", "logging_strategy": "epoch", "max_steps": 6})
    assert list(logged(run, "eval_loss")) == list(logged(run, "loss")) == [4, 6]
    assert checkpoints(run) == [4, 6]
    fields = {"logging_strategy": "no", "eval_strategy": "no", "overwrite": True}
    run = finetune(given | fields)
    assert logged(run, "loss") == logged(run, "eval_loss") == {}
    fields = {"logging_steps": 3, "logging_first_step": True, "eval_delay": 3, "eval_steps": 1, "overwrite": True}
    run = finetune(given | fields | {"include_num_input_tokens_seen": "non_padding"})
    assert list(logged(run, "loss")) == [1, 3] and list(logged(run, "eval_loss")) == [3, 4]
    tokens = logged(run, "num_input_tokens_seen")
    assert 0 < tokens[1] < tokens[3]
    assert list(logged(finetune(given | {"logging_steps": 500, "overwrite": True}), "loss")) == [4]


def test_a_checkpoint_of_the_model_alone_is_not_resumed(given):
    run = finetune(given | {"save_only_model": True})
    (checkpoint, *_) = whole_checkpoints(run / "checkpoints")
    assert not list(checkpoint.glob("optimizer*"))
    assert "--save_only_model keeps checkpoints without it" in "\n".join(
        refused({"output_path": given["output_path"], "resume": True, "save_only_model": True, **given})
    )


def test_a_resumed_training_wants_the_state_of_the_optimizer(given):
    run = finetune(given)
    for path in whole_checkpoints(run / "checkpoints"):
        (path / "optimizer.pt").unlink()
        seal(path)
    with pytest.raises(InputError, match=r"this checkpoint holds the model alone \(save_only_model\)"):
        finetune({"output_path": given["output_path"], "resume": True, "max_steps": 6})


def test_a_run_by_epochs_is_extended(given):
    fields = {"eval_strategy": "epoch", "logging_strategy": "epoch", "num_train_epochs": 1}
    del given["max_steps"]
    finetune(given | fields)
    run = finetune({"output_path": given["output_path"], "resume": True, "num_train_epochs": 2})
    assert list(logged(run, "eval_loss")) == list(logged(run, "loss")) == [4, 8]


def test_a_step_with_fewer_batches_than_asked_for_is_said(given):
    plan = plan_run(finetune_settings(given | {"gradient_accumulation_steps": 9}))
    (said,) = [setting for setting in plan.inferred if setting.name == "gradient_accumulation_steps"]
    assert said.value == 4 and "fewer than the 9 asked for" in said.why


def test_the_level_of_transformers_messages_is_set(given):
    before = transformers.logging.get_verbosity()
    try:
        finetune(given | {"training_arguments": {"log_level": "error"}, "max_steps": 1})
        assert transformers.logging.get_verbosity() == transformers.logging.ERROR
    finally:
        transformers.logging.set_verbosity(before)


def test_the_loader_takes_its_options(given):
    from torch.utils.data import DataLoader

    seen = []
    fields = {
        "dataloader_num_workers": 1,
        "dataloader_prefetch_factor": 3,
        "dataloader_persistent_workers": True,
        "dataloader_multiprocessing_context": "fork",
        "dataloader_in_order": False,
    }
    original = DataLoader.__iter__
    try:
        DataLoader.__iter__ = lambda self: (seen.append(self), original(self))[1]
        finetune(given | fields | {"max_steps": 1})
    finally:
        DataLoader.__iter__ = original
    loader = next(loader for loader in seen if loader.num_workers)
    assert (loader.prefetch_factor, loader.persistent_workers, loader.in_order) == (3, True, False)
    assert loader.multiprocessing_context.get_start_method() == "fork"


def test_the_best_weights_are_those_of_the_metric(given):
    fields = {"metric_for_best_model": "eval_perplexity", "eval_steps": 1, "early_stopping_patience": 0}
    run = finetune(given | fields)
    values = logged(run, "eval_perplexity")
    assert list(values) == [1, 2, 3, 4]
    training = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["training"]
    assert training["metric"] == "perplexity" and training["best_value"] == min(values.values())
    assert training["best_step"] == min(values, key=values.get)
    assert training["best_eval_loss"] == logged(run, "eval_loss")[training["best_step"]]


def test_watching_a_metric_does_not_change_the_training(given, plain):
    run = finetune(given | {"metric_for_best_model": "token_f1", "load_best_model_at_end": False, "eval_steps": 1})
    assert "token_f1" in json.loads((run / "manifest.json").read_text(encoding="utf-8"))["training"]["metric"]
    other = finetune(given | {"load_best_model_at_end": False, "overwrite": True})
    assert same(adapter(run), adapter(other))


def test_training_stops_early_by_the_metric(given, tmp_path):
    """A head that learns its classes at once cannot become better than right."""
    bert = tiny_bert_folder(tmp_path)
    rows = [{"text": f"{'bad rain' if n % 2 else 'good cake'} {n}", "label": "yn"[n % 2]} for n in range(40)]
    path = tmp_path / "classes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    fields = {"metric_for_best_model": "accuracy", "early_stopping_patience": 2, "eval_steps": 2, "max_steps": 60}
    run = finetune(given | fields | {"model_name_or_path": str(bert), "data_files": str(path), "method": "full"})
    training = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["training"]
    values = logged(run, "eval_accuracy")
    assert training["early_stopped"] and training["steps"] < 60
    assert training["best_value"] == max(values.values()) == values[training["best_step"]]
    assert training["steps"] == training["best_step"] + 4


def test_the_optimizer_of_a_missing_package_is_said_before_the_model_is_loaded(given):
    (problem,) = refused(given | {"optim": "grokadamw"})
    assert problem.startswith("--optim grokadamw: ") and "pip install" in problem
