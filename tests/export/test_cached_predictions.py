"""What an export takes from a run's evaluation is what PyTorch answered and scored, and nothing else."""

import json
import shutil

import pytest

from graft.commands.evaluate import evaluate_model
from graft.commands.open_predictors import open_model_by_name
from graft.config import ModelSettings
from graft.export.cached_predictions import criteria_of_run, recorded_evaluation
from graft.progress import SILENT
from graft.runs.folder import RunFolder


@pytest.fixture(scope="module")
def evaluated(run, tmp_path_factory):
    copy = shutil.copytree(run, tmp_path_factory.mktemp("evaluated") / "run")
    evaluate_model(copy)
    return copy


def test_every_label_of_every_row_has_the_score_that_pytorch_gave_it(evaluated):
    model = open_model_by_name(str(evaluated), ModelSettings(), SILENT)
    known = recorded_evaluation(RunFolder.open(evaluated), model.encoding.tokenizer)
    asked = model.predictors(SILENT, with_base=True, name="model")
    examples, labels = known.rows.examples, known.rows.labels
    assert labels == ["bad", "good"] and [predictor.name for predictor in known.predictors] == ["base", "tuned"]
    for predictor in known.predictors:
        recorded = predictor.score(examples, [labels] * len(examples))
        assert recorded == asked[predictor.name].score(examples, [labels] * len(examples))
        answers = predictor.generate(examples, known.max_new_tokens)
        assert answers == asked[predictor.name].generate(examples, known.max_new_tokens)


def test_what_was_not_scored_is_not_made_up(evaluated):
    known = recorded_evaluation(RunFolder.open(evaluated), None)
    example = known.rows.examples[0]
    with pytest.raises(LookupError):
        known.predictors[0].score([example], [["neither"]])


def test_an_evaluation_of_graft_0_1_holds_too_little(evaluated, tmp_path):
    """It has no scores but those of metrics, and no limit of an answer."""
    old = shutil.copytree(evaluated, tmp_path / "old")
    document = json.loads((old / "evaluation.json").read_text(encoding="utf-8"))
    del document["max_new_tokens"]
    (old / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
    assert recorded_evaluation(RunFolder.open(old), None) is None


def test_the_limit_of_an_answer_is_the_evaluations(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    evaluate_model(copy, max_new_tokens=3)
    assert recorded_evaluation(RunFolder.open(copy), None).max_new_tokens == 3


def test_an_export_judges_as_the_run_was_judged(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    evaluate_model(copy, metric_type=["exact_match"], normalize="case", max_new_tokens=3)
    folder = RunFolder.open(copy)
    rows = recorded_evaluation(folder, None).rows
    found = criteria_of_run(folder, rows, False, ["accuracy"])
    assert (found.metrics, found.normalize, found.max_new_tokens) == (["exact_match"], ("case",), 3)
    assert criteria_of_run(None, rows, False, ["accuracy"]).metrics == ["accuracy"]


def test_code_that_an_evaluation_names_does_not_judge_unless_it_is_trusted(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    evaluate_model(copy)
    rows = recorded_evaluation(RunFolder.open(copy), None).rows
    ran = tmp_path / "ran"
    (tmp_path / "own.py").write_text(
        f"open({str(ran)!r}, 'w').close()\ndef own(references, answers): return [1.0] * len(answers)\n",
        encoding="utf-8",
    )
    document = json.loads((copy / "evaluation.json").read_text(encoding="utf-8"))
    document["metrics"]["accuracy"]["reference"] = f"{tmp_path / 'own.py'}:own"
    (copy / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
    assert criteria_of_run(RunFolder.open(copy), rows, False).metrics is None and not ran.exists()
    assert f"{tmp_path / 'own.py'}:own" in criteria_of_run(RunFolder.open(copy), rows, True).metrics and ran.exists()
