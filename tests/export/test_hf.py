"""The target ``hf``: every task's model as a plain folder, which transformers opens without graft."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from graft.cli.main import main
from graft.commands.evaluate import evaluate_model
from graft.commands.export import export_model
from graft.commands.finetune import finetune
from graft.config import ExportSettings
from graft.errors import GateError, InputError
from graft.export.hf import check
from graft.export.hf.folder import for_other_readers
from graft.export.judged import Judged, judged
from graft.export.merge import load_judged
from graft.export.parity_rows import load_parity_rows
from graft.export.source import open_source
from graft.export.targets.hf import exported
from graft.progress import Silent
from small_runs import bundle_document, tune
from task_rows import ROWS
from tiny_models import tiny_model_folder
from tiny_task_models import tiny_bert_folder, tiny_t5_folder

CASES = {
    "text": ("llama", "classes", {"task": "text-generation"}),
    "full": ("llama", "classes", {"task": "text-generation", "method": "full"}),
    "qlora": ("llama", "classes", {"task": "text-generation", "method": "qlora"}),
    "new-tokens": ("llama", "classes", {"task": "text-generation", "new_tokens": "<good>,<bad>"}),
    "head-on-causal": ("llama", "classes", {"task": "text-classification"}),
    "classes": ("bert", "classes", {"task": "text-classification"}),
    "several": ("bert", "several", {}),
    "tags": ("bert", "tagged", {}),
    "pairs": ("bert", "pairs", {}),
    "summaries": ("t5", "summaries", {}),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs by name, each trained when it is first asked for."""
    folder = tmp_path_factory.mktemp("hf")
    makers = {"llama": lambda: tiny_model_folder(folder, "llama", width=64), "bert": lambda: tiny_bert_folder(folder)}
    makers["t5"] = lambda: tiny_t5_folder(folder)
    models, found = {}, {}

    def run(name):
        if name not in found:
            model, kind, more = CASES[name]
            if model not in models:
                models[model] = makers[model]()
            rows = folder / f"{name}.jsonl"
            rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS[kind]()), encoding="utf-8")
            found[name] = tune(models[model], rows, folder / name, **more)
        return found[name]

    return run


def export(source, output, **more):
    return export_model({"model_name_or_path": str(source), "format": "hf", "output_path": str(output), **more})


def plain(folder, code):
    """What ``code`` prints in a process that has transformers and no graft."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    lines = f"{code}\nimport sys; assert not [name for name in sys.modules if name.split('.')[0] == 'graft']"
    done = subprocess.run(
        [sys.executable, "-c", lines],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", list(CASES))
def test_every_tasks_folder_computes_what_the_judged_model_computed(runs, tmp_path, name):
    folder = export(runs(name), tmp_path / "out")
    said = bundle_document(folder)
    parity = said["parity"]
    assert said["status"] == "finished" and parity["process"] == "fresh, transformers"
    assert parity["computed_in"] == said["precision"] == "float32"
    assert parity["greatest_logit_difference"] < 1e-4
    for pair in ("token_ids_identical", "answers_equal"):
        assert parity[pair][0] == parity[pair][1] > 0, pair
    if CASES[name][1:] == ("classes", {"task": "text-generation"}):
        assert parity["template_identical"] == [32, 32] and parity["ends_identical"] == [32, 32]


@pytest.mark.parametrize("name", ["text", "classes", "several", "tags", "pairs", "summaries"])
def test_the_readmes_python_runs_without_graft(runs, tmp_path, name):
    folder = export(runs(name), tmp_path / "out", skip_parity=True)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\nlibrary_name: transformers\n") and "YOUR TEXT" not in text
    assert plain(folder, text.split("```python\n")[1].split("```")[0]).strip()


@pytest.mark.parametrize("name", ["text", "several", "tags", "pairs", "summaries"])
def test_graft_evaluates_it_as_the_run(runs, tmp_path, name):
    run = runs(name)
    folder = export(run, tmp_path / "out", skip_parity=True)
    wanted = evaluate_model(run, output_path=tmp_path / "run", bootstrap_samples=100)["predictors"]["tuned"]
    (found,) = evaluate_model(folder, bootstrap_samples=100)["predictors"].values()
    assert {metric: one["value"] for metric, one in found.items()} == pytest.approx(
        {metric: one["value"] for metric, one in wanted.items()}, abs=1e-4
    )


def test_answers_end_where_the_judged_models_end_and_nothing_is_sampled(runs, tmp_path):
    run = runs("text")
    file = run / "model" / "generation_config.json"
    base = json.loads(file.read_text(encoding="utf-8"))
    changed = {**base, "eos_token_id": [0, 5], "do_sample": True, "temperature": 0.7, "repetition_penalty": 1.3}
    file.write_text(json.dumps(changed), encoding="utf-8")
    try:
        folder = export(run, tmp_path / "out")
    finally:
        file.write_text(json.dumps(base), encoding="utf-8")
    found = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    assert found["eos_token_id"] == [0, 2, 5]
    assert not {"temperature", "repetition_penalty"} & set(found) and not found.get("do_sample")
    assert bundle_document(folder)["parity"]["ends_identical"] == [32, 32]


def test_old_readers_find_template_tokenizer_and_rotary_settings(runs, tmp_path):
    folder = export(runs("text"), tmp_path / "out", skip_parity=True)
    read = {name: json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("config", "tokenizer_config")}
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    assert read["tokenizer_config"]["chat_template"] == template
    assert read["tokenizer_config"]["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert read["config"]["rope_theta"] == read["config"]["rope_parameters"]["rope_theta"]
    assert read["config"]["torch_dtype"] == "float32"


def test_rotary_settings_of_every_form_are_written_in_the_old_form_too():
    scaled = {"rope_theta": 5e5, "rope_type": "llama3", "factor": 8.0}
    found = for_other_readers({"rope_parameters": scaled})
    assert found["rope_theta"] == 5e5 and found["rope_scaling"] == {"rope_type": "llama3", "factor": 8.0}
    nested = {"full_attention": {"rope_theta": 1e6, "rope_type": "default"}, "sliding_attention": {"rope_theta": 1e4}}
    found = for_other_readers({"text_config": {"rope_parameters": nested}})["text_config"]
    assert (found["rope_theta"], found["rope_local_base_freq"]) == (1e6, 1e4) and "rope_scaling" not in found
    partial = {"rope_theta": 1e4, "rope_type": "default", "partial_rotary_factor": 0.5}
    assert for_other_readers({"rope_parameters": partial})["partial_rotary_factor"] == 0.5
    assert for_other_readers({"hidden_size": 8}) == {"hidden_size": 8}


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_sixteen_bits_are_measured_in_sixteen_bits(runs, tmp_path, precision):
    whole = export(runs("classes"), tmp_path / "whole", skip_parity=True)
    folder = export(runs("classes"), tmp_path / "half", precision=precision, max_accuracy_drop=0.5)
    said = bundle_document(folder)
    assert said["parity"]["computed_in"] == precision and said["parity"]["greatest_logit_difference"] > 0
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["dtype"] == precision
    sizes = [(place / "model.safetensors").stat().st_size for place in (whole, folder)]
    assert sizes[1] < 0.6 * sizes[0]
    assert main(["chat", str(folder), "--prompt", "good cake 1"]) == 0


def test_large_weights_are_written_in_parts(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("graft.export.hf.folder.SHARD", "100KB")
    folder = export(runs("text"), tmp_path / "out")
    assert (folder / "model.safetensors.index.json").is_file() and len(list(folder.glob("model-*.safetensors"))) > 1
    assert bundle_document(folder)["status"] == "finished"


def test_wrong_weights_do_not_pass(runs, tmp_path, monkeypatch):
    from graft.export.hf import folder as writing

    whole = writing.write_folder

    def spoilt(model, *rest):
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(1.01)
        whole(model, *rest)

    monkeypatch.setattr(writing, "write_folder", spoilt)
    with pytest.raises(GateError, match="logits in float32 differ") as raised:
        export(runs("text"), tmp_path / "out", max_accuracy_drop=0.9)
    assert "--precision auto" not in str(raised.value)
    assert bundle_document(tmp_path / "out")["status"] == "failed"


def damage_tokenizer(folder):
    file = folder / "tokenizer.json"
    read = json.loads(file.read_text(encoding="utf-8"))
    vocab = read["model"]["vocab"]
    a, b = sorted(token for token in vocab if token.isalpha() and len(token) == 1)[:2]
    vocab[a], vocab[b] = vocab[b], vocab[a]
    file.write_text(json.dumps(read), encoding="utf-8")


def damage_template(folder):
    file = folder / "chat_template.jinja"
    file.write_text(file.read_text(encoding="utf-8") + " ", encoding="utf-8")


def damage_generation(folder, **changes):
    file = folder / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


DAMAGES = {
    "tokenizer": (damage_tokenizer, "the folder's tokenizer reads"),
    "template": (damage_template, "the folder's chat template renders 32 of 32 prompts differently"),
    "end": (lambda folder: damage_generation(folder, eos_token_id=5), "the folder's generation settings write"),
}


@pytest.fixture(scope="module")
def compared(runs, tmp_path_factory):
    """Compares a folder with the model of the run that answers with text."""
    settings = ExportSettings(model_name_or_path=str(runs("text")), format="hf")
    source = open_source(settings, Silent())
    reference = judged(source, load_judged(source), load_parity_rows(source, None, 32), Silent())
    whole = export(runs("text"), tmp_path_factory.mktemp("whole") / "out", skip_parity=True)

    def compare(folder, precision="float32"):
        opened = partial(exported, folder, source)
        return check.compare(reference, source, folder, opened, precision, 1.0, Silent())

    return whole, compare


@pytest.mark.parametrize("name", list(DAMAGES))
def test_what_a_fresh_process_finds_otherwise_fails(compared, tmp_path, name):
    whole, compare = compared
    folder = shutil.copytree(whole, tmp_path / "damaged")
    damage, said = DAMAGES[name]
    damage(folder)
    found = compare(folder)
    assert not found["passed"] and said in found["reason"]
    assert compare(folder, "bfloat16")["passed"] is (name not in ("tokenizer", "template"))


def test_an_undamaged_folder_passes(compared):
    whole, compare = compared
    found = compare(whole)
    assert found["passed"] and "differently" not in found["reason"]


def test_the_greatest_difference_is_not_known_where_one_is_not_a_number():
    one = Judged(None, None, [], [], [], [torch.tensor([0.1]), torch.tensor([0.0]), torch.tensor([0.2])], [], None, 1)
    assert one.difference([torch.zeros(1)] * 3) == pytest.approx(0.2)
    assert one.difference([torch.zeros(1), torch.tensor([float("nan")]), torch.zeros(1)]) is None
    assert one.difference([torch.zeros(1), torch.tensor([float("inf")]), torch.zeros(1)]) is None


@pytest.mark.parametrize("device", ["gpu", "npu"])
def test_a_device_is_refused(runs, tmp_path, device):
    with pytest.raises(InputError, match=f"--device {device} does not apply to a model folder"):
        export(runs("text"), tmp_path / "out", device=device)


def test_an_interrupted_export_leaves_no_folder(runs, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "_ask", stop)
    with pytest.raises(KeyboardInterrupt):
        export(runs("text"), tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["mlx", "safetensors", "transformers"])
def test_its_other_names(runs, tmp_path, name):
    folder = export(runs("text"), tmp_path / "out", format=name, skip_parity=True)
    said = bundle_document(folder)
    assert (said["target"], said["format"]) == ("hf", "hf")


def test_mlx_is_refused_for_what_mlx_lm_does_not_run(runs, tmp_path):
    with pytest.raises(InputError, match="does not run text-classification"):
        export(runs("classes"), tmp_path / "a", format="mlx")
    model = tiny_model_folder(tmp_path, "gpt2")
    with pytest.raises(InputError, match="models of the type 'gpt2'"):
        export(model, tmp_path / "b", format="mlx", skip_parity=True)
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


def test_the_folder_is_a_base_like_any_other(runs, tmp_path):
    run, rows = runs("text"), str(runs("text").parent / "text.jsonl")
    folder = export(run, tmp_path / "out", skip_parity=True)
    again = finetune(
        {"model_name_or_path": str(folder), "data_files": rows, "output_path": str(tmp_path / "run"), "max_steps": 1}
    )
    base = json.loads((Path(again) / "manifest.json").read_text(encoding="utf-8"))["base"]
    assert base["name"] == str(folder.resolve())
    onnx = export(folder, tmp_path / "onnx", format="onnx", precision="float32", data_files=rows, parity_rows=8)
    assert bundle_document(onnx)["parity"]["passed"]
    with pytest.raises(InputError, match="an exported bundle, not a run or a model"):
        finetune({"model_name_or_path": str(onnx), "data_files": rows, "output_path": str(tmp_path / "no")})
