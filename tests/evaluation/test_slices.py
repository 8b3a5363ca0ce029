"""Slices by a column: whose rows they are, how each compares with the others, and how columns reach the evaluation."""

import json

import numpy as np
import pytest

import graft
from graft.cli.main import main
from graft.data.example import Origin
from graft.errors import InputError
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.slices import slices_by, worst_group
from graft.inference.predictor import CompletionScore


class Right:
    """A predictor that is right in the rows that it is told to be."""

    def __init__(self, name, right):
        self.name, self.tokenizer, self.right = name, None, right

    def generate(self, examples, max_new_tokens, progress=None):
        return [e.completion if self.right[e.origin.line - 1] else "?" for e in examples]

    def score(self, examples, completions, progress=None):
        return [
            [CompletionScore(-0.1 if (t == e.completion) == self.right[e.origin.line - 1] else -3.0, 1) for t in texts]
            for e, texts in zip(examples, completions, strict=True)
        ]


def rows_with(columns):
    examples = [
        graft.AnswerExample(({"role": "user", "content": str(n)},), "ab"[n % 2], Origin("r", n + 1, columns=each))
        for n, each in enumerate(columns)
    ]
    return EvaluationRows(examples, ["a", "b"], {"path": "r", "rows": len(examples)})


def test_a_slice_that_is_worse_than_the_others_is_named_and_a_small_one_is_not():
    rows = rows_with([{"language": "kn" if n < 60 else "de" if n < 190 else "ja"} for n in range(200)])
    tuned = Right("tuned", [n >= 30 and n < 190 for n in range(200)])  # kn 30 of 60, de all 130, ja none of 10
    found = evaluate([Right("base", [False] * 200), tuned], rows, Criteria(["accuracy"], by=["language"])).document
    groups = {group["value"]: group for group in found["slices"]["groups"]}
    assert list(groups) == ["de", "kn", "ja"] and [group["rows"] for group in groups.values()] == [130, 60, 10]
    assert [group["predictors"]["tuned"]["accuracy"]["value"] for group in groups.values()] == [1.0, 0.5, 0.0]
    assert groups["kn"]["differences"][0]["value"] == 0.5 and groups["ja"]["rest"] is None
    rest = groups["kn"]["rest"]
    assert rest["value"] == pytest.approx(0.5 - 130 / 140, abs=1e-6) and rest["high"] < 0
    assert rest["p"] < 0.01 and rest["adjusted_p"] == pytest.approx(min(1, 2 * rest["p"]), abs=1e-6)
    assert worst_group(found["slices"], lower_is_better=False)["value"] == "kn"


def test_equal_slices_are_seldom_called_different():
    """With ten slices and no difference, about 5 % of evaluations may name one: Holm keeps the whole error."""
    wrong = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        rows = rows_with([{"part": str(part)} for part in generator.integers(0, 10, 600)])
        tuned = Right("tuned", (generator.random(600) < 0.7).tolist())
        criteria = Criteria(["accuracy"], by=["part"], bootstrap_samples=1000)
        groups = evaluate([tuned], rows, criteria).document["slices"]["groups"]
        wrong += any(group["rest"]["adjusted_p"] < 0.05 for group in groups if group["rest"])
    assert wrong <= 3


def named(values, count=None):
    rows = rows_with([{"c": value} for value in values])
    return {part.value: int(part.rows.sum()) for part in slices_by("c", rows.examples)}


def test_values_ranges_rare_and_missing_ones():
    assert named(["x", "y", "x", None]) == {"x": 2, "y": 1, "(none)": 1}
    assert named(["1", "2", "3"] * 5) == {"1": 5, "2": 5, "3": 5}
    assert named([*map(str, range(1, 101)), None]) == {
        "1 to 25": 25,
        "26 to 50": 25,
        "51 to 75": 25,
        "76 to 100": 25,
        "(none)": 1,
    }
    many = named([f"v{n // 2}" for n in range(40)])
    assert len(many) == 13 and many["(all others)"] == 16
    assert named([f"id-{n}" for n in range(40)]) == {}
    assert named(["-3.5"] * 30 + [str(n) for n in range(10)])["-3.5 to -3.5"] == 30


def test_bleu_cuts_each_slice_by_its_script():
    """Among many English rows, Chinese ones are cut into characters only if their own slice says so."""
    texts = [("我今天去学校。", "我昨天去学校。", "zh")] * 3 + [("it rained all day", "it rained all day", "en")] * 40
    examples = [
        graft.AnswerExample(
            ({"role": "user", "content": str(n)},), right, Origin("r", n + 1, columns={"language": code})
        )
        for n, (right, _, code) in enumerate(texts)
    ]

    class Fixed(Right):
        def generate(self, examples, max_new_tokens, progress=None):
            return [texts[example.origin.line - 1][1] for example in examples]

    rows = EvaluationRows(examples, None, {"path": "r"})
    document = evaluate([Fixed("tuned", [])], rows, Criteria(["bleu"], by=["language"])).document
    english, chinese = document["slices"]["groups"]
    assert document["metrics"]["bleu"]["tokenizer"] == "13a"
    assert english["tokenizers"] == {"bleu": "13a"} and chinese["tokenizers"] == {"bleu": "zh"}
    by_hand = 100 * (6 / 7 * 4 / 6 * 3 / 5 * 2 / 4) ** 0.25
    assert chinese["predictors"]["tuned"]["bleu"]["value"] == pytest.approx(by_hand)
    assert english["predictors"]["tuned"]["bleu"]["value"] == pytest.approx(100)


COLUMNS_ROWS = [
    {"prompt": f"Say {n}", "completion": f"word {n}", "language": "kn" if n % 3 else "de", "length": n}
    for n in range(12)
]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_columns_reach_the_evaluation_of_a_file_and_a_wrong_name_is_an_error(tiny_llama, tmp_path, capsys):
    path = write(tmp_path / "rows.jsonl", COLUMNS_ROWS)
    words = ["evaluate", str(tiny_llama), "--data_files", str(path), "--max_new_tokens", "3", "--metrics", "token_f1"]
    assert main([*words, "--by", "language,length", "--json"]) == 0
    slices = json.loads(capsys.readouterr().out)["slices"]
    found = [(group["column"], group["value"], group["rows"]) for group in slices["groups"]]
    assert found[:3] == [("language", "kn", 8), ("language", "de", 4), ("length", "0 to 2", 3)]
    assert main([*words, "--by", "langage,lenth"]) == 2
    said = capsys.readouterr().err
    assert "no row has the column 'langage'" in said and "did you mean language?" in said
    assert "no row has the column 'lenth'" in said and "did you mean length?" in said
    assert main([*words, "--by", "language"]) == 0
    printed = capsys.readouterr().out
    assert "language = kn" in printed and "(4 rows)" in printed


def test_a_run_keeps_the_columns_or_finds_them_in_its_unchanged_files(tiny_llama, tmp_path):
    path, run = write(tmp_path / "rows.jsonl", COLUMNS_ROWS), tmp_path / "run"
    graft.finetune(
        model_name_or_path=str(tiny_llama),
        data_files=str(path),
        output_path=str(run),
        metrics=("token_f1",),
        by=("language",),
        max_steps=1,
        eval_share=0.5,
        bootstrap_samples=100,
        max_new_tokens=3,
    )
    document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert {group["value"] for group in document["slices"]["groups"]} == {"kn", "de"}
    rows = [json.loads(line) for line in (run / "data" / "eval.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(row["columns"] == {"language": COLUMNS_ROWS[int(row["completion"][5:])]["language"]} for row in rows)
    assert "language" in (run / "report.html").read_text(encoding="utf-8")
    again = graft.evaluate_model(run, by=("language", "length"), bootstrap_samples=100)
    assert {group["column"] for group in again["slices"]["groups"]} == {"language", "length"}
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="no row has the column 'length'; there are: language"):
        graft.evaluate_model(run, by=("language", "length"), bootstrap_samples=100)
    copied = graft.evaluate_model(run, run / "data" / "eval.jsonl", by="language", bootstrap_samples=100)
    assert {group["value"] for group in copied["slices"]["groups"]} == {"kn", "de"}
