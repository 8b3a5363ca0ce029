"""The run's evaluation after a GGUF bundle was added to it."""

import shutil

import pytest

pytest.importorskip("xllamacpp")

from graft.cli.main import main
from graft.runs.evaluation_document import read_evaluation
from small_runs import tune


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_bundle_is_compared_by_what_the_run_was_judged_by(run, learned, tone, tmp_path, method):
    """Of a full run nothing is recorded that an export can reuse: its model is asked again."""
    own = tmp_path / "tone"
    if method == "full":
        tune(learned, tone, own, method="full", max_steps=2)
    else:
        shutil.copytree(run, own)
    assert main(["evaluate", str(own), "--normalize", "case", "--metrics", "exact_match,token_f1"]) == 0
    before = read_evaluation(own).document()
    assert before["normalize"] == ["case"]
    line = ["auto-opt", str(own), "--format", "gguf", "--precision", "float32", "-o", str(tmp_path / "out")]
    assert main([*line, "--parity_rows", "1000"]) == 0
    after = read_evaluation(own).document()
    assert after["normalize"] == ["case"] and "gguf float32" in after["predictors"]
    assert list(after["metrics"]) == ["exact_match", "token_f1"]
