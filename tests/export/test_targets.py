"""Targets: which one exports a model, whose options it takes, and one of a third party."""

import json
import subprocess
import sys

import pytest

from graft.cli.main import main
from graft.commands.export import export_model
from graft.commands.open_predictors import open_bundle
from graft.errors import InputError
from graft.export.target import TARGETS, export_settings
from small_runs import bundle_document
from tiny_models import tiny_model_folder

OWN = """
from pathlib import Path

from graft.config import Settings, setting
from graft.export.target import Built


class Config(Settings):
    copies: int = setting(1, "how many copies of the weights are written", ge=1)


class Copies:
    name = "copies"
    title = "Copies"
    help = "copies of the weights"
    format = "safetensors"
    precisions = ("float32",)
    Config = Config

    def can(self, source, options, config):
        return None

    def build(self, source, options, config, folder, reporter):
        for file in source.base.path.glob("*.safetensors"):
            for number in range(config.copies):
                (folder / f"{number}-{file.name}").write_bytes(file.read_bytes())
        reporter.note(f"{config.copies} copies")
        parity = {"passed": config.copies < 3, "reason": f"{config.copies} copies"}
        return Built(parity, 1.5, {"copies": config.copies})

    def open(self, folder, adapter=None):
        return str(sorted(file.name for file in Path(folder).glob("*.safetensors")))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("models"), "llama", width=64)


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "my_targets.py"
    file.write_text(OWN, encoding="utf-8")
    return f"{file}:Copies"


def test_a_target_of_ones_own_has_its_options_its_gate_and_opens_its_bundles(model, own, tmp_path, capsys):
    line = ["auto-opt", str(model), "--format", own, "-o", str(tmp_path / "out")]
    assert main([*line, "--copies", "2"]) == 0
    said = bundle_document(tmp_path / "out")
    assert (said["target"], said["format"], said["copies"], said["precision"]) == (own, "safetensors", 2, "float32")
    assert said["status"] == "finished" and said["base"]["sha256"]
    with pytest.raises(InputError, match="built by a target from a file"):
        open_bundle(tmp_path / "out", [None])
    assert open_bundle(tmp_path / "out", [None], trusted=True) == {
        "model": "['0-model.safetensors', '1-model.safetensors']"
    }
    assert main([*line, "--copies", "3"]) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*line, "--copies", "3", "--overwrite"]) == 3
    assert "3 copies" in capsys.readouterr().err and bundle_document(tmp_path / "out")["status"] == "failed"


def test_an_option_that_the_target_does_not_have_is_refused(model, own, tmp_path):
    given = {"model_name_or_path": str(model), "output_path": str(tmp_path / "out")}
    with pytest.raises(InputError, match="gguf has no option --max_size"):
        export_model({**given, "format": "gguf", "max_size": 5})
    with pytest.raises(InputError, match="unknown option --copies"):
        export_model({**given, "format": "gguf", "copies": 5})
    with pytest.raises(InputError, match="does not support int4"):
        export_model({**given, "format": own, "precision": "int4"})
    assert not (tmp_path / "out").exists()


def test_what_lacks_a_part_of_a_target_is_refused_naming_it(model, tmp_path, capsys):
    file = tmp_path / "half.py"
    file.write_text(OWN.replace("def open", "def close"), encoding="utf-8")
    assert main(["auto-opt", str(model), "--format", f"{file}:Copies", "-o", str(tmp_path / "out")]) == 2
    assert "open" in capsys.readouterr().err


def test_an_unknown_format_is_refused_with_the_nearest(model, tmp_path, capsys):
    assert main(["auto-opt", str(model), "--format", "ggof", "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "'ggof'" in error and "did you mean gguf" in error


def test_precisions_are_known_by_other_names_and_recorded_by_one(model, tmp_path):
    folder = export_model(
        {"model_name_or_path": str(model), "format": "gguf", "precision": "fp16", "output_path": str(tmp_path / "out")}
    )
    assert bundle_document(folder)["precision"] == "float16"


def test_help_lists_every_targets_options(capsys):
    assert main(["auto-opt", "--help"]) == 0
    out = capsys.readouterr().out
    for _, target in TARGETS.items():
        if target.name != "onnx-multi-adapter":
            for name in target.Config.model_fields:
                assert f"--{name} " in out or f"--{name}\n" in out, name


def test_help_imports_no_torch():
    code = "import sys; from graft.cli.main import main; main(['auto-opt', '--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_all_targets_options_are_in_one_class():
    fields = export_settings().model_fields
    assert {"format", "precision", "rounding", "adapter", "max_size", "token"} <= set(fields)
    assert json.dumps(sorted(fields))
