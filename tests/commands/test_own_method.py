"""A custom method: trained, judged truly, resumed, chatted with, and refused or merged by export."""

import json
import shutil

import pytest
import torch
import yaml

from graft.cli.main import main
from graft.commands.finetune import finetune
from graft.config import ExportSettings, ModelSettings
from graft.errors import InputError
from graft.export.merge import load_judged, merge_judged
from graft.export.source import open_source
from graft.models.base import load_model, resolve
from graft.planning.settings import finetune_settings
from graft.progress import SILENT

FILE = '''
import json
from contextlib import contextmanager

import torch
from safetensors.torch import load_file, save_file

from graft.config import Settings, setting
from graft.errors import InputError
from graft.methods.base import Method, write_folder


class ScaleConfig(Settings):
    my_start: float = setting(1.0, "factor to start from", "start_factor", gt=0)


class Scaled(torch.nn.Module):
    def __init__(self, norm, start):
        super().__init__()
        self.norm, self.enabled = norm.requires_grad_(False), True
        self.factor = torch.nn.Parameter(torch.full((), start))

    def forward(self, x):
        y = self.norm(x)
        return y * self.factor if self.enabled else y


class Scale(Method):
    """Trains one factor behind the last normalization."""

    name = "scale"
    title = "one factor"
    help = "one learned factor"
    Config = ScaleConfig
    learning_rate = 0.05

    def prepare(self, model, config, seed, heads):
        model.requires_grad_(False)
        model.model.norm = Scaled(model.model.norm, config.my_start)
        return model

    def save(self, model, run_folder):
        factor = {"factor": model.model.norm.factor.detach().clone()}
        write_folder(run_folder / "adapter", lambda folder: save_file(factor, folder / "scale.safetensors"))

    def load(self, model, folder, trainable=False):
        factor = load_file(folder / "scale.safetensors")["factor"]
        model.requires_grad_(False)
        model.model.norm = Scaled(model.model.norm, 1.0)
        model.model.norm.factor.data = factor
        return model


class Switched(Scale):
    """The same, and its base answers from the tuned model."""

    mergeable = True

    @contextmanager
    def disabled(self, model):
        model.model.norm.enabled = False
        try:
            yield
        finally:
            model.model.norm.enabled = True

    def merge(self, model):
        norm = model.model.norm
        norm.norm.weight.data *= norm.factor.data
        model.model.norm = norm.norm
        return model


class Greedy(Scale):
    class Config(Settings):
        seed: int = setting(1, "a seed of its own")


class Alias(Scale):
    class Config(Settings):
        mine: int = setting(1, "one more batch size", "batch_size")
'''


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(FILE, encoding="utf-8")
    return path


def scores(run):
    document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    return {name: found["perplexity"]["value"] for name, found in document["predictors"].items()}


@pytest.fixture
def plain(given):
    del given["lora_dropout"]
    return {**given, "max_steps": 4, "save_steps": 2, "eval_steps": 2, "metrics": "perplexity"}


@pytest.mark.parametrize("name", ["Scale", "Switched"])
def test_it_is_judged_against_its_base(plain, own, name, tmp_path, capsys):
    reference = f"{own}:{name}"
    run = finetune({**plain, "method": reference, "my_start": 1.5})
    first = scores(run)
    assert first["base"] != first["tuned"]
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["method"]["title"] == "one factor" and manifest["settings"]["my_start"] == 1.5
    assert yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["my_start"] == 1.5
    # A run folder alone is no reason to run code.
    assert main(["evaluate", str(run)]) == 2
    assert "--trust_remote_code" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--trust_remote_code", "--metrics", "perplexity"]) == 0
    assert scores(run) == pytest.approx(first, rel=1e-4)
    assert main(["chat", str(run), "--trust_remote_code", "--prompt", "Hello", "--max_new_tokens", "2"]) == 0
    again = tmp_path / "again"
    assert main(["run", "--config", str(run / "config.yaml"), "--output_path", str(again), "--trust_remote_code"]) == 0
    assert scores(again) == first
    capsys.readouterr()
    code = main(["finetune", "--resume", "--output_path", str(run), "--method", reference, "--my_start", "2"])
    assert code == 2 and "--my_start 2.0 differs from the value in the run to resume" in capsys.readouterr().err
    shutil.rmtree(run / "checkpoints" / "checkpoint-4")  # as if it had been stopped at step 2
    assert main(["finetune", "--resume", "--output_path", str(run), "--trust_remote_code"]) == 0
    assert scores(run) == pytest.approx(first, rel=1e-4)


def test_no_command_runs_the_code_that_only_a_run_names(plain, own, tone, tmp_path, capsys):
    metric = f"{own}:f"
    own.write_text(f"{FILE}\ndef f(references, answers):\n    return [0.5] * len(answers)\n", encoding="utf-8")
    run = finetune({**plain, "method": f"{own}:Scale", "metrics": metric})
    other, trace = tmp_path / "other.py", tmp_path / "trace"
    other.write_text(f"open({str(trace)!r}, 'w').close()\n{own.read_text(encoding='utf-8')}", encoding="utf-8")
    for file in (*run.glob("*.json"), *run.glob("*.yaml")):
        file.write_text(file.read_text(encoding="utf-8").replace("own.py", "other.py"), encoding="utf-8")
    assert "other.py" in (run / "config.yaml").read_text(encoding="utf-8")
    for words in (
        ["evaluate", run],
        ["evaluate", run, "--data_files", tone],
        ["evaluate", run, "--data_files", tone, "--metrics", f"accuracy,{metric}"],
        ["auto-opt", run, "--format", "gguf", "-o", tmp_path / "bundle"],
        ["chat", run, "--prompt", "x"],
        ["finetune", run, tone, "-o", tmp_path / "next", "--dry_run"],
        ["finetune", "--resume", "-o", run],
        ["finetune", "--resume", "-o", run, "--dry_run", "--max_steps", "9"],
        ["run", "--dry_run", run / "config.yaml"],
    ):
        assert main([str(word) for word in words]) == 2, words
        assert "--trust_remote_code" in capsys.readouterr().err
        assert not trace.exists(), words


def test_export_asks_the_method(plain, own, capsys):
    run = finetune({**plain, "method": f"{own}:Scale", "evaluate": False, "metrics": None})
    words = ["auto-opt", str(run), "--format", "gguf", "--precision", "float32", "--trust_remote_code"]
    assert main(words) == 2
    assert "weights trained with --method scale cannot be merged" in capsys.readouterr().err
    run = finetune({**plain, "method": f"{own}:Switched", "evaluate": False, "metrics": None, "overwrite": True})
    source = open_source(ExportSettings(model_name_or_path=str(run), trust_remote_code=True), SILENT)
    tuned = merge_judged(load_judged(source), source, run / "one")
    again = load_model(resolve(ModelSettings(model_name_or_path=str(run / "one"))))
    assert torch.equal(again.model.norm.weight, tuned.model.norm.weight)
    assert not torch.equal(again.model.norm.weight, torch.ones_like(again.model.norm.weight))


def test_its_options_are_options(own):
    settings = finetune_settings({"method": f"{own}:Scale", "start-factor": "1.25"})
    assert settings.my_start == 1.25
    with pytest.raises(InputError, match="my_start must be a number above 0"):
        finetune_settings({"method": f"{own}:Scale", "my_start": -1})
    with pytest.raises(InputError, match="my_start"):
        finetune_settings({"my_start": 2})
    with pytest.raises(InputError, match="did you mean my_start"):
        finetune_settings({"method": f"{own}:Scale", "my_strat": 2})


@pytest.mark.parametrize(("name", "option"), [("Greedy", "--seed"), ("Alias", "--batch_size")])
def test_an_option_that_graft_has_is_refused(own, name, option):
    with pytest.raises(InputError) as caught:
        finetune_settings({"method": f"{own}:{name}"})
    text = str(caught.value)
    assert f":{name} has an option {option}, which already exists as graft's own option" in text
