"""What the gate of GGUF fails, and what the target refuses."""

import math
from types import SimpleNamespace

import pytest

from graft.cli.main import main
from graft.export.gguf.tokenizer import answer_ends
from graft.export.llama_cpp.gate import _difference, _strict, _without_rows
from graft.export.llama_cpp.gguf_export import GgufExport
from graft.export.llama_cpp.read_back import _difference as read_back_difference
from graft.inference.llama_cpp_process import _number
from tiny_models import CHATML, tiny_model_folder, tiny_model_tokenizer

JUDGED = SimpleNamespace(reference=SimpleNamespace(greatest_logit=2.0))


def found(difference):
    return {
        "answers_equal": [0, 8],
        "token_ids_identical": [8, 8],
        "template_identical": [4, 4],
        "greatest_logit_difference": difference,
    }


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_value_that_is_no_number_makes_no_difference_to_report(place):
    own, wanted = [-1.0, -2.0, -0.5], [-1.0, -2.0, -0.5]
    own[place] = _number(None)
    assert _difference([own], [wanted]) is None and _difference([wanted], [own]) is None
    assert read_back_difference([(own, wanted)]) is None
    assert math.isfinite(read_back_difference([(wanted, wanted)]))


@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "int4"])
def test_without_rows_values_that_are_no_numbers_fail(precision):
    verdict = _strict(_without_rows(found(None), JUDGED, precision), JUDGED, precision, 1.0)
    assert verdict["passed"] is False and "number" in verdict["reason"]


def test_without_rows_float16_is_bounded_and_int4_is_not():
    assert not _without_rows(found(0.2), JUDGED, "float16")["passed"]
    assert _without_rows(found(0.05), JUDGED, "float16")["passed"]
    assert _without_rows(found(0.2), JUDGED, "int4")["passed"]


def test_the_end_of_a_turn_is_among_the_ends_that_a_file_names():
    tokenizer = tiny_model_tokenizer(CHATML)
    turn = tokenizer.convert_tokens_to_ids("<|im_end|>")
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=[tokenizer.eos_token_id, 7, 5]))
    assert answer_ends(model, tokenizer) == list(dict.fromkeys([tokenizer.eos_token_id, turn, 5, 7]))


@pytest.mark.parametrize("name", ["../../x", "support/tone", "a b"])
def test_file_names_stay_in_the_folder(name, tmp_path):
    source = SimpleNamespace(opened=SimpleNamespace(name=name), run=object())
    options, config = SimpleNamespace(precision="float32"), SimpleNamespace(adapter="hot-swappable")
    export = GgufExport(source, options, config, tmp_path, None)
    assert export._file.parent == export._lora.parent == tmp_path


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--device", "gpu"], "--device gpu does not apply to GGUF"),
        (["--adapter", "auto"], "the model has no adapter"),
        (["--rounding", "gptq"], "gptq cannot be used"),
        (["--rounding", "gptq", "--precision", "int8"], "not to int8"),
    ],
)
def test_options_without_effect_are_refused(given, said, tmp_path, capsys):
    model = tiny_model_folder(tmp_path, "llama")
    assert main(["auto-opt", str(model), "--format", "gguf", *given, "-o", str(tmp_path / "out")]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
