"""--adapter merge, switch and auto."""

import shutil

import numpy as np
import pytest

from graft.cli.main import main
from graft.commands.export import export_model
from graft.export.onnx.genai_folder import adapter_file
from graft.export.onnx.session import OnnxSession
from small_runs import bundle_document


@pytest.fixture(scope="module")
def switched(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("switched")
    copy = shutil.copytree(run, folder / "tone")
    line = ["auto-opt", str(copy), "--adapter", "switch", "--precision", "float32", "-o", str(folder / "onnx")]
    assert main(line) == 0
    return folder / "onnx"


def test_a_switchable_adapter_answers_as_pytorch_does_and_the_bare_base_is_there(switched):
    said = bundle_document(switched)
    assert said["status"] == "finished" and said["adapter"]["placement"] == "hot-swappable"
    assert said["parity"]["answers_equal"][0] == said["parity"]["answers_equal"][1] >= 50
    assert said["parity"]["greatest_logit_difference"] < 1e-3
    prompt = list(range(5, 25))
    tuned, base = (OnnxSession(switched, adapter_file(switched, name)).last_logits([prompt]) for name in (None, "base"))
    assert np.abs(tuned - base).max() > 1e-3


def test_another_adapter_is_added_to_it(switched, run, tmp_path):
    copy = shutil.copytree(switched, tmp_path / "onnx")
    assert main(["generate-adapter", "--add", f"again={run}", str(copy), "--parity_rows", "60"]) == 0
    assert list(bundle_document(copy)["adapters"]) == ["tone", "again"]


def test_it_chats_with_the_adapter_and_its_readme_says_how(switched, capsys):
    assert main(["chat", str(switched), "--prompt", "fine day number 3", "--max_new_tokens", "8"]) == 0
    assert capsys.readouterr().out.strip()
    assert 'adapters.load("adapters/tone.onnx_adapter", "tone")' in (switched / "README.md").read_text("utf-8")


def test_auto_measures_both_and_says_which_it_took(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "tone")
    said = bundle_document(export_model({"model_name_or_path": str(copy), "adapter": "auto", "precision": "int8"}))
    assert [one["placement"] for one in said["candidates"]] == ["merged", "hot-swappable"]
    speeds = said["adapter"]["tokens_per_second"]
    assert set(speeds) == {"merged", "hot-swappable"} and all(speed > 0 for speed in speeds.values())
    slower = min(speeds, key=speeds.get)
    assert said["adapter"]["placement"] != slower or speeds["hot-swappable"] < 1.06 * speeds["merged"]
    for speed in speeds.values():
        assert f"{speed:g} tokens/s" in said["adapter"]["reason"]


def test_without_an_adapter_there_is_nothing_to_switch(learned, tmp_path, capsys):
    line = ["auto-opt", "--model_name_or_path", str(learned), "--adapter", "switch", "-o", str(tmp_path / "x")]
    assert main([*line, "--skip_parity"]) == 2
    assert "this model has no adapter" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
