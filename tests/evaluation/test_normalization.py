"""``--normalize``: what does not count, where it is recorded, and what is said where it would help."""

import pytest

from graft.cli.main import main
from graft.cli.results import print_evaluation
from graft.data.example import AnswerExample, Origin
from graft.errors import InputError
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.metrics import Predictions, get_metric, select_metrics
from graft.evaluation.normalization import missing_steps, near_misses, normalized
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.store import write_evaluation
from graft.evaluation.table import rows as table_rows
from graft.export.cached_predictions import RecordedPredictor
from graft.runs.evaluation_document import read_evaluation
from graft.runs.folder import RunFolder

ALL = ("case", "punctuation", "blanks")


@pytest.mark.parametrize(
    ("text", "steps", "wanted"),
    [
        ("  Der  Hund, STRASSE! ", ALL, "der hund strasse"),
        ("Straße", ("case",), "strasse"),
        ("cafe\u0301", (), "café"),
        ("नमस्ते, दुनिया।", ("punctuation",), "नमस्ते दुनिया"),
        ("«مرحبا، كيف؟»", ("punctuation",), "مرحبا كيف"),
        ("你好，世界。", ("punctuation",), "你好世界"),
        ("こんにちは、「世界」！", ("punctuation",), "こんにちは世界"),
        ("使用 Python 编程", ("blanks",), "使用Python编程"),
        ("ฉัน กิน\u200bข้าว", ("blanks",), "ฉันกินข้าว"),
        ("서울  대학교\u3000", ("blanks",), "서울 대학교"),
        ("3 + 4 = 7.", ("punctuation",), "3 + 4 = 7"),
        ("ΟΔΟΣ", ("case",), "οδοσ"),
        ("İZMİR", ("case",), "izmir"),
    ],
)
def test_what_is_taken_out(text, steps, wanted):
    assert normalized(text, steps) == wanted
    assert normalized(wanted, steps) == wanted


def test_it_applies_to_every_metric_that_compares_texts_and_to_no_other():
    pairs = [("Paris.", "paris"), ("New  York", "new york")]
    found = Predictions([one for one, _ in pairs], answers=[other for _, other in pairs])
    texts = ["exact_match", "token_f1", "rouge1", "rougeL", "bleu", "chrf"]
    for name in texts:
        metric = get_metric(name).fit(found.references, ALL)
        assert metric.rows(found) == [100.0, 100.0] if metric.scale == 100 else [1.0, 1.0]
        assert metric.label == f"{metric.title} (normalized: case, punctuation, blanks)"
        assert metric.as_record()["normalize"] == ALL
    assert get_metric("exact_match").fit(found.references, ("case",)).rows(found) == [0.0, 0.0]
    for name in ("field_f1", "json_valid", "entity_f1", "accuracy", "pearson", "perplexity"):
        metric = get_metric(name)
        assert metric.fit(found.references, ALL) is metric


def test_a_tokenizer_and_a_normalization_are_named_together():
    metric = get_metric("bleu").fit(["我今天去学校。"], ("punctuation",))
    assert metric.heading == "BLEU (zh; normalized: punctuation)"
    assert metric.short_heading == "BLEU"


@pytest.mark.parametrize(
    ("accepted", "answer", "steps", "wanted"),
    [
        (["Paris"], " Paris\n", (), ()),
        (["Paris"], "paris", (), ("case",)),
        (["Paris", "Paname"], "paname.", (), ("case", "punctuation")),
        (["Paris"], "paris", ("case",), ()),
        (["New York"], "new  york", (), ("case", "blanks")),
        (["Paris"], "London", (), None),
        (["cafe\u0301"], "caf\u00e9", (), ()),
        (["नमस्ते।"], "नमस्ते", (), ("punctuation",)),
    ],
)
def test_the_fewest_steps_that_make_an_answer_right(accepted, answer, steps, wanted):
    assert missing_steps(accepted, answer, steps) == wanted


def test_answers_that_are_wrong_for_case_or_blanks_are_said():
    accepted, answers = [("Yes",), ("New York",), ("No",)], ["yes", "New  York", "Maybe"]
    assert near_misses("tuned", accepted, answers) == (
        "2 of 3 answers of tuned differ from the reference only in case or blanks; --normalize case,blanks ignores this"
    )
    assert near_misses("tuned", accepted, answers, ("case",)) == (
        "1 of 3 answers of tuned differs from the reference only in blanks; --normalize case,blanks ignores this"
    )
    assert near_misses("tuned", accepted, ["Yes", "New York", "Maybe"]) is None


def test_an_unknown_step_is_an_error_with_the_nearest(tiny_llama, rows_file, capsys):
    assert main(["evaluate", str(tiny_llama), "--data_files", str(rows_file), "--normalize", "case,punctation"]) == 2
    said = capsys.readouterr().err
    assert "--normalize must be a list of case, punctuation or blanks, not 'case,punctation'" in said
    assert "did you mean punctuation?" in said


def test_metrics_that_do_not_use_it_are_an_error():
    with pytest.raises(InputError, match="--normalize case is not used by field_f1, perplexity"):
        select_metrics(["field_f1", "perplexity"], ["x"], None, ("case",))
    assert len(select_metrics(["exact_match", "perplexity"], ["x"], None, ("case",))) == 2


def judged(pairs, **options):
    """An evaluation of a predictor that has written these answers."""
    examples = [
        AnswerExample(({"role": "user", "content": f"Say {place}"},), reference, Origin("rows.jsonl", place + 1))
        for place, (reference, _) in enumerate(pairs)
    ]
    source = {"path": "rows.jsonl", "rows": len(pairs), "sha256": ""}
    base = RecordedPredictor("base", None, examples, [answer for _, answer in pairs], [{} for _ in pairs])
    return evaluate([base], EvaluationRows(examples, None, source), Criteria(["exact_match"], **options))


def test_an_evaluation_records_and_shows_it(tmp_path, capsys):
    pairs = [("Yes", "yes"), ("No", "no"), ("Perhaps", "Perhaps"), ("Yes", "No")]
    plain = judged(pairs).document
    assert plain["predictors"]["base"]["exact_match"]["value"] == 1 / 4
    said = "2 of 4 answers of base differ from the reference only in case; --normalize case ignores this"
    assert plain["notes"] == [said]
    print_evaluation(plain)
    assert said in capsys.readouterr().out

    result = judged(pairs, normalize=("case",))
    found = result.document
    assert found["predictors"]["base"]["exact_match"]["value"] == 3 / 4
    assert found["normalize"] == ["case"] and found["notes"] == []
    assert [line["scores"]["base"]["exact_match"] for line in result.predictions] == [1, 1, 1, 0]
    assert [line["answers"]["base"] for line in result.predictions] == ["yes", "no", "Perhaps", "No"]  # as written
    assert table_rows(found)[0][0] == "exact match (normalized: case)"
    write_evaluation(RunFolder(tmp_path), result)
    read = read_evaluation(tmp_path)
    assert read.normalize == read.metrics["exact_match"]["normalize"] == ["case"]


def test_references_that_are_a_class_but_for_their_spelling_are_said():
    examples = [
        AnswerExample(({"role": "user", "content": f"{place}?"},), answer, Origin("r.jsonl", place + 1))
        for place, answer in enumerate(["positive", "Positive ", "negative"])
    ]
    base = RecordedPredictor("base", None, examples, ["positive", "positive", "negative"], [{}] * 3)
    rows = EvaluationRows(examples, ["negative", "positive"], {"path": "r.jsonl", "rows": 3, "sha256": ""})
    assert evaluate([base], rows, Criteria(["exact_match"])).document["notes"] == [
        "1 of 3 references differ from a class only in letter case, blanks or the form of Unicode: "
        "'Positive ' for 'positive'",
        "1 of 3 answers of base differs from the reference only in case; --normalize case ignores this",
    ]


def test_the_command_takes_it(tiny_llama, rows_file, tmp_path, capsys):
    words = ["evaluate", str(tiny_llama), "--data_files", str(rows_file), "--output_path", str(tmp_path / "out")]
    assert main([*words, "--normalize", "blanks,case", "--metrics", "exact_match,bleu", "--max_new_tokens", "8"]) == 0
    assert "exact match (normalized: case, blanks)" in capsys.readouterr().out
    assert read_evaluation(tmp_path / "out").normalize == ["case", "blanks"]
