import numpy as np
import pytest

from graft.cli.main import main
from graft.commands.export import export_model
from graft.errors import InputError
from graft.export.gguf.writer import write_gguf
from graft.export.quantize.calibrate import quantize_linears
from graft.models.base import load_model, load_tokenizer, open_run_or_model
from graft.models.gguf_reader import convert, read_header
from small_runs import bundle_document
from tiny_models import tiny_model_folder


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2"])
def test_a_gguf_file_read_back_is_the_same_model(family, tmp_path):
    model = tiny_model_folder(tmp_path, family, width=64)
    folder = export_model(
        {
            "model_name_or_path": str(model),
            "format": "gguf",
            "precision": "float32",
            "output_path": str(tmp_path / "out"),
        }
    )
    parity = bundle_document(folder)["parity"]
    assert parity["greatest_logit_difference"] < 1e-4
    assert parity["token_ids_identical"] == [8, 8]


def test_a_runs_adapter_is_folded_in_and_quantised(run, tmp_path, capsys):
    line = ["auto-opt", str(run), "--format", "gguf", "-o", str(tmp_path / "out")]
    assert main(line) == 0
    said = bundle_document(tmp_path / "out")
    assert said["rounding"] == "gptq"
    assert said["file"].endswith("-q4_1.gguf") and (tmp_path / "out" / said["file"]).is_file()
    same, rows = said["parity"]["answers_equal"]
    assert same >= rows - 2
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_rounded_weights_are_in_the_file_as_they_are(family, tmp_path):
    base = open_run_or_model(tiny_model_folder(tmp_path, family, width=64)).base
    model, tokenizer = load_model(base), load_tokenizer(base)
    blocks = quantize_linears(model, {})
    write_gguf(model, tokenizer, tmp_path / "m.gguf", "int4", blocks, name="m", license=None)
    (tmp_path / "read").mkdir()
    convert(tmp_path / "m.gguf", tmp_path / "read", read_header(tmp_path / "m.gguf"), "")
    again = load_model(open_run_or_model(tmp_path / "read").base)
    for name, one in blocks.items():
        found = again.get_submodule(name).weight.detach().numpy()
        np.testing.assert_allclose(found, one.dequantize(), rtol=2e-3, atol=1e-4, err_msg=name)


def test_the_builders_roundings_are_not_for_this_format(run, tmp_path, capsys):
    assert main(["auto-opt", str(run), "--format", "gguf", "--rounding", "k_quant", "-o", str(tmp_path / "out")]) == 2
    assert "use gptq or range" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_families_are_refused(tmp_path):
    model = tiny_model_folder(tmp_path, "gpt2")
    config = model / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"gpt2"', '"bloom"'), encoding="utf-8")
    with pytest.raises(InputError, match="not 'bloom'"):
        export_model({"model_name_or_path": str(model), "format": "gguf", "output_path": str(tmp_path / "out")})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("family", "precision"), [("gpt2", "int4"), ("gemma3", "float32"), ("phi3", "int8")])
def test_other_families_pass_the_gate_of_llama_cpp(family, precision, tmp_path):
    model = tiny_model_folder(tmp_path, family, width=32)
    line = {"model_name_or_path": str(model), "format": "gguf", "output_path": str(tmp_path / "out")}
    parity = bundle_document(export_model({**line, "precision": precision}))["parity"]
    assert parity["process"] == "fresh, llama.cpp"
    assert parity["token_ids_identical"][0] == parity["token_ids_identical"][1]
    assert parity["template_identical"] == [4, 4]


def test_without_llama_cpp_the_manifest_says_that_the_file_was_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr("graft.export.llama_cpp.gguf_export.is_installed", lambda: False)
    model = tiny_model_folder(tmp_path, "gpt2", width=64)
    line = {"model_name_or_path": str(model), "format": "gguf", "output_path": str(tmp_path / "out")}
    folder = export_model({**line, "precision": "float32"})
    assert bundle_document(folder)["parity"] == 'not run in llama.cpp: pip install "graft-slm[gguf]"'
