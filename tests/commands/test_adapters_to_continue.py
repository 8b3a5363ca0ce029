"""``--adapter_path``: any PEFT adapter to start from, over the base that it was trained on."""

import json
import shutil

import pytest

from graft.cli.main import main
from graft.commands.evaluate import evaluate_model
from graft.commands.finetune import finetune, plan
from graft.errors import InputError
from small_runs import tune
from tiny_models import tiny_model_folder

TYPES = {
    "lora": ("LoraConfig", {"r": 3, "lora_alpha": 5}),
    "dora": ("LoraConfig", {"r": 3, "lora_alpha": 6, "use_dora": True}),
    "ia3": ("IA3Config", {"feedforward_modules": []}),
    "loha": ("LoHaConfig", {"r": 2, "alpha": 4}),
    "oft": ("OFTConfig", {}),
}


def foreign_adapter(base, folder, kind="lora", **options):
    """An adapter as a program other than graft leaves it, with weights that change the model's answers."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    name, values = TYPES[kind]
    config = getattr(peft, name)(target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", **(values | options))
    torch.manual_seed(1)
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return folder


def edit(folder, **values):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | values), encoding="utf-8")
    return folder


@pytest.fixture
def onward(tone, tmp_path):
    return {
        "data_files": str(tone),
        "output_path": str(tmp_path / "onward"),
        "max_steps": 2,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-12,
        "evaluate": False,
    }


@pytest.mark.parametrize("kind", TYPES)
def test_training_starts_from_any_adapter_with_a_method(tiny_llama, onward, tmp_path, kind):
    from safetensors.torch import load_file

    adapter = foreign_adapter(tiny_llama, tmp_path / "adapter", kind)
    run = finetune(onward | {"adapter_path": str(adapter)})
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (adapter, run / "adapter"))
    assert before.keys() == after.keys()
    assert all((before[name] - after[name]).abs().max() < 1e-6 for name in before)
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["method"]["name"] == {"dora": "lora"}.get(kind, kind)
    assert manifest["continued_from"]["path"] == "../adapter"
    if kind in ("lora", "dora"):
        assert manifest["settings"]["lora_r"] == 3 and manifest["settings"]["use_dora"] == (kind == "dora")
    evaluate_model(run, max_eval_samples=2, bootstrap_samples=100)


def test_a_rank_other_than_the_adapters_is_refused(tiny_llama, onward, tmp_path):
    adapter = foreign_adapter(tiny_llama, tmp_path / "adapter")
    with pytest.raises(InputError, match=r"lora_r 16 differs .* 3"):
        plan(onward | {"adapter_path": str(adapter), "lora_r": 16})


def test_an_adapter_that_no_method_trains_is_refused_by_its_type(tiny_llama, onward, tmp_path):
    adapter = edit(foreign_adapter(tiny_llama, tmp_path / "adapter"), peft_type="PREFIX_TUNING")
    with pytest.raises(InputError, match="PREFIX_TUNING"):
        plan(onward | {"adapter_path": str(adapter)})


@pytest.mark.parametrize("command", ["finetune", "chat", "evaluate", "auto-opt"])
def test_a_base_of_the_same_shapes_is_refused_by_its_hash(tiny_llama, tone, tmp_path, capsys, command):
    adapter = foreign_adapter(tiny_llama, tmp_path / "adapter")
    other = tiny_model_folder(tmp_path, "llama", seed=9)
    data = ["--data_files", str(tone)] if command in ("finetune", "evaluate") else []
    prompt = ["--prompt", "hi"] if command == "chat" else ["-o", str(tmp_path / "out")]
    line = [command, "--model_name_or_path", str(other), "--adapter_path", str(adapter), *data, *prompt]
    assert main(line) == 2
    assert "does not fit" in (error := capsys.readouterr().err) and "--allow_base_mismatch" in error
    assert not (tmp_path / "out").exists()
    if command == "chat":
        assert main([*line, "--allow_base_mismatch", "--max_new_tokens", "2"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("recorded", "base_name", "fits"),
    [
        ("org/tiny-a", "org/tiny-b", False),
        ("org/tiny-a", "other/Tiny-A", True),
        ("/gone/tiny-a", "org/tiny-b", False),
        ("/gone/tiny-a", "", True),
        ("org/tiny-a", "", True),
    ],
)
def test_names_are_compared_where_no_hash_is_known(tiny_llama, onward, tmp_path, recorded, base_name, fits):
    adapter = edit(foreign_adapter(tiny_llama, tmp_path / "adapter"), base_model_name_or_path=recorded)
    base = shutil.copytree(tiny_llama, tmp_path / "base")
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (base / "config.json").write_text(json.dumps(config | {"_name_or_path": base_name}), encoding="utf-8")
    given = onward | {"adapter_path": str(adapter), "model_name_or_path": str(base)}
    if fits:
        assert plan(given).parent is not None
        return
    with pytest.raises(InputError, match="was trained on"):
        plan(given)
    assert plan(given | {"allow_base_mismatch": True}).parent is not None


def test_a_tokenizer_beside_the_adapter_is_compared(tiny_llama, onward, tmp_path):
    adapter = edit(foreign_adapter(tiny_llama, tmp_path / "adapter"), base_model_name_or_path="")
    tokenizer = json.loads((tiny_llama / "tokenizer.json").read_text(encoding="utf-8"))
    (adapter / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    given = onward | {"adapter_path": str(adapter), "model_name_or_path": str(tiny_llama)}
    assert plan(given).parent is not None
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {f"{text}x": number for text, number in vocabulary.items()}
    (adapter / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(InputError, match="vocabulary"):
        plan(given)


def test_the_model_folder_of_a_run_must_be_its_base(tiny_llama, tone, tmp_path):
    run = tune(tiny_llama, tone, tmp_path / "run", max_steps=2)
    other = tiny_model_folder(tmp_path, "llama", seed=9)
    (run / "model" / "model.safetensors").unlink()
    shutil.copy(other / "model.safetensors", run / "model" / "model.safetensors")
    with pytest.raises(InputError, match="not those that the adapter was trained on"):
        evaluate_model(run, max_eval_samples=2, bootstrap_samples=100)


def test_a_run_over_a_second_adapter_is_refused(tiny_llama, tone, onward, tmp_path):
    run = tune(tiny_llama, tone, tmp_path / "run", max_steps=2)
    adapter = foreign_adapter(tiny_llama, tmp_path / "adapter")
    with pytest.raises(InputError, match="already has an adapter"):
        plan(onward | {"model_name_or_path": str(run), "adapter_path": str(adapter)})
    assert plan(onward | {"adapter_path": str(run)}).parent.opened.run == run


@pytest.mark.parametrize("method", ["qlora", "adapters"])
def test_other_methods_of_graft_continue(tiny_llama, tone, onward, tmp_path, method):
    from safetensors.torch import load_file

    first = tune(tiny_llama, tone, tmp_path / "run", max_steps=2, method=method)
    second = finetune(onward | {"model_name_or_path": str(first)})
    before, after = (load_file(run / "adapter" / "adapter_model.safetensors") for run in (first, second))
    assert all((before[name] - after[name]).abs().max() < 1e-6 for name in before)
    evaluate_model(second, max_eval_samples=2, bootstrap_samples=100)


def test_new_tokens_go_on_with_the_run(tiny_llama, tone, onward, tmp_path):
    first = tune(tiny_llama, tone, tmp_path / "run", max_steps=2, new_tokens="<tone>")
    planned = plan(onward | {"model_name_or_path": str(first)})
    assert "<tone>" in planned.tokenizer.get_vocab()
    second = finetune(onward | {"model_name_or_path": str(first)})
    evaluate_model(second, max_eval_samples=2, bootstrap_samples=100)
    with pytest.raises(InputError, match="cannot add '<more>'"):
        plan(onward | {"model_name_or_path": str(first), "new_tokens": "<more>"})


OWN = '''
from graft.config import Settings
from graft.methods.base import Method, write_folder


class Bias(Method):
    """Trains the last norm alone."""

    name, title, help = "bias", "Bias", "the last norm"
    Config = Settings

    def prepare(self, model, config, seed, heads):
        model.requires_grad_(False)
        model.model.norm.weight.requires_grad_(True)
        return model

    def save(self, model, run_folder):
        import torch
        write_folder(run_folder / "adapter", lambda folder: torch.save(model.model.norm.weight, folder / "norm.pt"))

    def load(self, model, folder, trainable=False):
        import torch
        model.requires_grad_(False)
        model.model.norm.weight.data = torch.load(folder / "norm.pt").data + 0
        model.model.norm.weight.requires_grad_(trainable)
        return model
'''


def test_an_own_method_continues_and_is_opened_by_its_adapter(tiny_llama, tone, onward, tmp_path, capsys):
    import torch

    file = tmp_path / "own.py"
    file.write_text(OWN, encoding="utf-8")
    first = tune(tiny_llama, tone, tmp_path / "run", max_steps=2, method=f"{file}:Bias")
    with pytest.raises(InputError, match="trust_remote_code"):
        plan(onward | {"model_name_or_path": str(first)})
    second = finetune(onward | {"model_name_or_path": str(first), "trust_remote_code": True})
    before, after = (torch.load(run / "adapter" / "norm.pt") for run in (first, second))
    assert (before - after).abs().max() < 1e-6
    line = ["chat", "--model_name_or_path", str(tiny_llama), "--adapter_path", str(first / "adapter")]
    assert main([*line, "--prompt", "hi", "--max_new_tokens", "2"]) == 2
    assert "method from a file" in capsys.readouterr().err
    assert main([*line, "--prompt", "hi", "--max_new_tokens", "2", "--trust_remote_code"]) == 0, capsys.readouterr().err
