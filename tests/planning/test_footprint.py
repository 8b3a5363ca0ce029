import json
import math
import shutil
from dataclasses import replace

import pytest
import torch

from graft.config import config_of
from graft.engine import fused
from graft.engine.kernels import kernels, kernels_missing
from graft.methods import METHODS
from graft.methods.base import trainable_parameters
from graft.models.catalog import find_in_catalog
from graft.models.facts import catalog_facts
from graft.models.shape import ModelShape
from graft.planning.estimate import memory_of
from graft.planning.footprint import Subject, footprint, loss_of
from graft.planning.live_memory import LiveMemory
from graft.planning.model_needs import TRAINING_MB, model_needs
from graft.planning.plan import plan_run
from graft.planning.settings import finetune_settings
from graft.tasks.load import load_for, new_heads
from graft.training.collate import make_collate
from tiny_models import tiny_model_folder
from tiny_task_models import tiny_bert_folder, tiny_t5_folder

WIDTH, INNER, KEYS, RANK = 64, 128, 32, 16
PADDED_RANKS = 16


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    return {family: tiny_model_folder(place, family, width=WIDTH) for family in ("llama", "qwen3", "gemma3", "gpt2")}


@pytest.fixture
def rows_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [f'{{"prompt": "{n} is a number of which", "completion": "we say {n * 7919}"}}' for n in range(40)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def planned(folder, rows_file, **more):
    given = {"model_name_or_path": str(folder), "data_files": [str(rows_file)], "max_steps": 2}
    return plan_run(finetune_settings({**given, "per_device_train_batch_size": 8, **more}))


def subject_of(plan):
    return Subject(plan.base, plan.task, plan.encoding, plan.settings, plan.training.precision, plan.loss)


def prepared(plan):
    """The real model, as a training has it."""
    model = load_for(plan.task, plan.encoding, plan.base, 0)
    method = METHODS.get(plan.settings.method)
    return method.prepare(model, config_of(plan.settings, method.Config), 0, new_heads(model)).train()


def real_peak(plan, found, rows):
    """The peak of the tensors of a real step, kernels called."""
    model, memory = prepared(plan), LiveMemory()
    memory.know([*model.parameters(), *model.buffers()])
    collate = make_collate(found.engine.is_packed, plan.tokenizer.pad_token_id, plan.objective)
    batch = {name: value for name, value in collate(rows).items() if name not in {"rows", "tokens"}}
    loss = loss_of(subject_of(plan), found.engine, plan.objective)
    with memory, torch.autocast("cpu", torch.bfloat16, enabled=plan.training.precision == "bfloat16"):
        if found.engine.is_packed:
            with fused(model, found.engine.name):
                torch.autograd.backward(loss(model, batch, 1))
        else:
            torch.autograd.backward(loss(model, batch, 1))
    return memory.peak


PATHS = {
    "lora": {},
    "plain": {"engine": "plain"},
    "int8": {"engine": "int8"},
    "bfloat16": {"precision": "bfloat16"},
    "qlora": {"method": "qlora"},
    "full": {"method": "full"},
    "adapters": {"method": "adapters"},
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2"])
def test_a_step_without_content_has_the_tensors_of_a_real_one(folders, rows_file, family, path):
    plan = planned(folders[family], rows_file, **PATHS[path])
    rows = list(plan.rows[:8])
    found = footprint(subject_of(plan), rows)
    real, model = real_peak(plan, found, rows), prepared(plan)
    assert (found.trained, found.parameters) == trainable_parameters(model)
    assert 0.97 * real <= found.step <= 1.06 * real + found.workspaces


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_weights_are_counted_once_where_they_are_tied(folders, rows_file, family):
    plan = planned(folders[family], rows_file)
    model = load_for(plan.task, plan.encoding, plan.base, 0)
    storages = {p.untyped_storage().data_ptr(): p.nbytes for p in model.parameters()}
    found = footprint(subject_of(plan), list(plan.rows[:2]))
    buffers = sum(buffer.nbytes for buffer in model.buffers())
    assert found.base == sum(storages.values()) + buffers
    assert found.weights == found.base + 4 * found.trained


def test_int4_weights_have_a_nibble_and_a_scale_in_32(folders, rows_file):
    plan = planned(folders["llama"], rows_file, method="qlora")
    found = footprint(subject_of(plan), list(plan.rows[:2]))
    vocabulary, per_layer = plan.base.config["vocab_size"], WIDTH * (2 * WIDTH + 2 * KEYS + 3 * INNER)
    packed = (2 * per_layer + vocabulary * WIDTH) * (1 / 2 + 4 / 32)
    norms_and_rope = 4 * 5 * WIDTH + found.base - 4 * (2 * per_layer + vocabulary * WIDTH + 5 * WIDTH)
    assert found.weights == packed + 4 * vocabulary * WIDTH + norms_and_rope + 4 * found.trained


@pytest.mark.skipif(kernels_missing() is not None or not kernels().has("decoder_layer_forward"), reason="no kernels")
def test_whole_layers_keep_what_their_formula_says(tmp_path, rows_file):
    sizes = {}
    for layers in (3, 6):
        folder = tiny_model_folder(tmp_path / str(layers), width=WIDTH)
        config = json.loads((folder / "config.json").read_text())
        config["num_hidden_layers"] = layers
        (folder / "config.json").write_text(json.dumps(config))
        sizes[layers] = folder
    plan = planned(sizes[3], rows_file)
    rows = [row for row in list(plan.rows) for _ in range(2)]
    found = {}
    for layers, folder in sizes.items():
        longer = planned(folder, rows_file)
        found[layers] = footprint(subject_of(longer), rows)
        tokens = make_collate(True, 0, None)(rows)["input_ids"].numel()
    assert tokens >= 256 and all(one.whole_layers for one in found.values())
    # By token: x; q and what attention gives; k and v; a norm of 4 heads and of x; y and its norm; gate and up; the
    # seven layers' products with A.
    kept = 2 * WIDTH + 2 * WIDTH + 2 * KEYS + 4 + 1 + 1 + 2 * INNER + 7 * PADDED_RANKS
    assert found[6].step - found[3].step == pytest.approx(3 * 4 * kept * tokens, rel=0.01)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_checkpointing_keeps_less(folders, tmp_path, rows_file, family):
    folder = tmp_path / "deep"
    shutil.copytree(folders[family], folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"num_hidden_layers": 12, "layer_types": None}
    (folder / "config.json").write_text(json.dumps(config))
    found = {}
    for on in (False, True):
        plan = planned(folder, rows_file, gradient_checkpointing=on)
        found[on] = footprint(subject_of(plan), [row for row in list(plan.rows) for _ in range(2)]).step
    assert found[True] < 0.6 * found[False]


def test_other_architectures_are_counted_with_their_heads(tmp_path):
    rows = tmp_path / "tone.jsonl"
    rows.write_text("\n".join(f'{{"text": "row {n}", "label": "{"ab"[n % 2]}"}}' for n in range(40)))
    plan = planned(tiny_bert_folder(tmp_path), rows, method="full")
    found = footprint(subject_of(plan), list(plan.rows[:8]))
    assert found.parameters == sum(p.numel() for p in prepared(plan).parameters())
    assert found.step - found.workspaces == pytest.approx(real_peak(plan, found, list(plan.rows[:8])), rel=0.03)


@pytest.mark.parametrize(("method", "gaps"), [("full", 1.2), ("lora", 1.5)])
def test_padded_batches_that_train_all_weights_leave_few_gaps(tmp_path, method, gaps):
    """An adapter's small tensors lie between the large ones; measured by benchmarks/estimates.py."""
    rows = tmp_path / "tone.jsonl"
    rows.write_text("\n".join(f'{{"text": "row {n}", "label": "{"ab"[n % 2]}"}}' for n in range(40)))
    plan = planned(tiny_bert_folder(tmp_path), rows, method=method)
    found = replace(footprint(subject_of(plan), list(plan.rows[:8])), step=2**32, evaluation=0)
    expected = 30 + (found.weights + 8 * found.trained + gaps * 2**32) / 2**20
    assert memory_of(plan, found, 0).training == pytest.approx(expected, abs=1)


def test_an_encoder_decoder_is_counted(tmp_path):
    rows = tmp_path / "news.jsonl"
    rows.write_text("\n".join(f'{{"document": "news of day {n}", "summary": "day {n}"}}' for n in range(40)))
    plan = planned(tiny_t5_folder(tmp_path), rows)
    found = footprint(subject_of(plan), list(plan.rows[:8]))
    assert found.step - found.workspaces == pytest.approx(real_peak(plan, found, list(plan.rows[:8])), rel=0.03)
    assert math.isclose(found.weights - found.base, 4 * found.trained)


@pytest.mark.skipif(kernels_missing() is not None or not kernels().has("decoder_layer_forward"), reason="no kernels")
@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_what_a_model_of_the_catalog_takes_is_what_the_count_says(folders, rows_file, method):
    """By the sizes alone, as ``graft models`` has it, and by a step without content, as ``graft plan`` does."""
    facts = catalog_facts(find_in_catalog("Qwen3-0.6B"))
    config = {**plan_config(folders["qwen3"]), **facts.text_config, "num_hidden_layers": 8, "vocab_size": 4096}
    config.pop("layer_types", None)
    plan = planned(folders["qwen3"], rows_file, method=method, per_device_train_batch_size=32)
    rows = [row for row in list(plan.rows)[:32] for _ in range(4)]
    file = folders["qwen3"] / "config.json"
    tiny = file.read_text()
    file.write_text(json.dumps(config))
    try:
        subject = replace(subject_of(plan), base=replace(plan.base, config=config))
        counted = memory_of(plan, footprint(subject, rows), TRAINING_MB - 30).training - TRAINING_MB
    finally:
        file.write_text(tiny)
    tokens = make_collate(True, 0, None)(rows)["input_ids"].numel()
    needs = model_needs(config, ModelShape.of(config).parameters, "causal", tokens)
    assert getattr(needs, f"{method}_mb") - TRAINING_MB == pytest.approx(counted, rel=0.25)


def plan_config(folder):
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize(("name", "layers"), [("distilbert-base-uncased", 6), ("t5-small", 12), ("gpt2", 12)])
def test_sizes_are_found_by_each_familys_names(name, layers):
    facts = catalog_facts(find_in_catalog(name))
    shape = ModelShape.of(facts.text_config)
    assert shape.layers == layers and shape.queries == shape.hidden
    assert shape.parameters == pytest.approx(facts.parameters, rel=0.15)
