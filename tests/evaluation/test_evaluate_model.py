"""``graft.evaluate_model`` on a model folder: what it says against a direct computation."""

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import graft
from graft.errors import InputError
from graft.evaluation import table
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.table import metric_references
from graft.export.parity import gate
from graft.inference.cached import CachedPredictor
from graft.inference.predictor import CompletionScore
from graft.report import write_report
from tiny_models import tiny_model_tokenizer


def direct_perplexity(folder, rows_file):
    """exp of the mean loss of all answer tokens, the end token included, a row at a time."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    loss = tokens = 0
    for line in rows_file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        user = [{"role": "user", "content": row["prompt"]}]
        prompt = tokenizer.apply_chat_template(user, add_generation_prompt=True, tokenize=False)
        before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        answer = tokenizer(row["completion"] + "<|im_end|>", add_special_tokens=False)["input_ids"]
        ids = torch.tensor([before + answer])
        with torch.no_grad():
            logits = model(ids).logits[0, len(before) - 1 : -1]
        loss += torch.nn.functional.cross_entropy(logits, ids[0, len(before) :], reduction="sum").item()
        tokens += len(answer)
    return math.exp(loss / tokens)


def test_perplexity_is_the_one_computed_directly(tiny_llama, rows_file):
    document = graft.evaluate_model(tiny_llama, rows_file, metric_type="perplexity", bootstrap_samples=100)
    found = document["predictors"]["base"]["perplexity"]
    assert found["value"] == pytest.approx(direct_perplexity(tiny_llama, rows_file), rel=1e-4)
    assert found["low"] <= found["value"] <= found["high"] and found["n"] == 6


def test_answers_are_the_models_own_greedy_ones(tiny_llama, rows_file, tmp_path):
    graft.evaluate_model(
        tiny_llama,
        rows_file,
        metric_type=["exact_match", "bleu"],
        output_path=tmp_path / "out",
        max_new_tokens=5,
        bootstrap_samples=100,
    )
    lines = (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_llama), AutoTokenizer.from_pretrained(tiny_llama)
    for line in map(json.loads, lines):
        user = [{"role": "user", "content": line["prompt"]}]
        text = tokenizer.apply_chat_template(user, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
        written = model.generate(**ids, max_new_tokens=5, do_sample=False)[0, ids["input_ids"].shape[1] :]
        assert line["answers"]["base"] == tokenizer.decode(written, skip_special_tokens=True).strip()
        assert set(line["scores"]["base"]) == {"exact_match", "bleu"}
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert document["data"]["rows"] == 6 and document["data"]["path"] == str(rows_file)


def test_a_metric_of_ones_own_from_a_file(tiny_llama, rows_file, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def length(references, answers):\n    return [len(r) for r in references]\n", encoding="utf-8")
    document = graft.evaluate_model(tiny_llama, rows_file, metric_type=f"{path}:length", bootstrap_samples=100)
    assert document["predictors"]["base"]["length"]["value"] == pytest.approx(20.5)


class Known:
    """A predictor whose answers are given: the likelihood of a label is 0 for the right one and -1 else."""

    def __init__(self, name, right):
        self.name, self.right, self.tokenizer = name, right, None

    def generate(self, examples, max_new_tokens, progress=None):
        return ["something else"] * len(examples)

    def score(self, examples, completions, progress=None):
        return [
            [CompletionScore(0.0 if (text == example.completion) == right else -1.0, 1) for text in texts]
            for example, texts, right in zip(examples, completions, self.right, strict=True)
        ]


OWN_METRIC = """
from dataclasses import replace

from graft.evaluation.metrics.base import mean_metric

EXCESS = mean_metric(
    "excess",
    lambda reference, answer: abs(len(answer) - len(reference)),
    title="excess length",
    meaning="characters too many or too few",
    direction="lower",
    digits=1,
    scale=None,
)


class Shouting:
    title, direction, digits = "shouted rows", "lower", 0

    def __call__(self, references, answers):
        return [answer.isupper() for answer in answers]


def wrong(references, answers):
    return [0.0 for _ in answers]


wrong.direction = "up"
FLAT = replace(EXCESS, name="flat", statistics=lambda predictions: [1.0] * len(predictions.references))
"""


class Answering(Known):
    def __init__(self, name, answer):
        super().__init__(name, [])
        self.answer = answer

    def generate(self, examples, max_new_tokens, progress=None):
        return [self.answer(example) for example in examples]


def test_a_metric_file_of_ones_own_goes_the_whole_way_with_title_digits_and_direction(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN_METRIC, encoding="utf-8")
    messages = [({"role": "user", "content": str(n)},) for n in range(40)]
    examples = [graft.AnswerExample(prompt, "four", graft_origin(n)) for n, prompt in enumerate(messages)]
    rows = EvaluationRows(examples, None, {"path": "x", "rows": 40})
    base, tuned = Answering("base", lambda example: "TOO LONG"), Answering("tuned", lambda example: "five5")
    found = evaluate([base, tuned], rows, Criteria([f"{path}:EXCESS", f"{path}:Shouting"])).document
    assert found["metrics"]["excess"]["direction"] == "lower" and found["metrics"]["excess"]["title"] == "excess length"
    assert metric_references(found) == [f"{path.resolve()}:EXCESS", f"{path.resolve()}:Shouting"]
    assert table.rows(found) == [
        ("excess length", "4.0 (4.0–4.0)", "1.0 (1.0–1.0)", "−3.0 (−3.0 to −3.0), p < 0.01"),
        ("shouted rows", "1 (1–1)", "0 (0–0)", "−1 (−1 to −1), p < 0.01"),
    ]
    better = "The tuned model is better than its base and the baselines: excess length 4.0 → 1.0, copied input 2.2 ("
    assert table.verdict(found).startswith(better)
    again = evaluate([tuned, base], rows, Criteria([f"{path}:EXCESS"])).document
    assert table.verdict(again).startswith("The base model is worse than tuned, and worse than copying the input: ")
    with pytest.raises(InputError, match="'up'"):
        evaluate([base], rows, Criteria([f"{path}:wrong"]))
    flat = evaluate([base], rows, Criteria([f"{path}:FLAT"])).document
    assert "metric flat have the shape (40,) for 40 rows" in flat["failed_metrics"]["flat"]["error"]


def test_the_parity_gate_of_a_metric_of_ones_own_knows_what_is_worse(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN_METRIC, encoding="utf-8")
    examples = [graft.AnswerExample(({"role": "user", "content": str(n)},), "four", graft_origin(n)) for n in range(40)]
    rows = EvaluationRows(examples, None, {"path": "x", "rows": 40})
    long, short = Answering("long", lambda example: "TOO LONG"), Answering("short", lambda example: "five5")
    worse = gate(evaluate([short, long], rows, Criteria([f"{path}:EXCESS"])).document, None)
    better = gate(evaluate([long, short], rows, Criteria([f"{path}:EXCESS"])).document, None)
    assert not worse["passed"] and better["passed"]
    assert (worse["drop"], better["drop"]) == (3.0, -0.75)  # without a scale, relative to the value before


def test_a_run_is_judged_and_reported_by_a_metric_of_ones_own(tiny_llama, rows_file, tmp_path):
    path, run = tmp_path / "mine.py", tmp_path / "run"
    path.write_text(OWN_METRIC, encoding="utf-8")
    metrics = (f"{path}:EXCESS", "perplexity")
    graft.finetune(
        model_name_or_path=str(tiny_llama),
        data_files=str(rows_file),
        output_path=str(run),
        metrics=metrics,
        max_steps=2,
        eval_share=0.5,
        bootstrap_samples=100,
        max_new_tokens=4,
    )
    page, card = ((run / name).read_text(encoding="utf-8") for name in ("report.html", "README.md"))
    assert "Excess length" in page and "characters too many or too few" in page
    assert "| Excess length |" in card and "name: Excess length" in card
    recorded = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["metrics"]
    assert recorded["excess"]["reference"] == f"{path}:EXCESS" and "reference" not in recorded["perplexity"]
    path.unlink()  # the report of a run needs no code of its metrics
    assert "Excess length" in write_report(run).read_text(encoding="utf-8")


def test_what_is_wrong_with_model_rows_and_output_is_said_together(tmp_path):
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        graft.evaluate_model(tmp_path / "no-model", tmp_path / "none.jsonl", output_path=tmp_path / "out")
    said = str(caught.value)
    assert "no-model" in said and "none.jsonl: no such file" in said and "the output folder is a file" in said


def test_base_and_tuned_are_compared_row_by_row():
    examples = [
        graft.AnswerExample(({"role": "user", "content": str(n)},), "ab"[n % 2], graft_origin(n), label="ab"[n % 2])
        for n in range(40)
    ]
    base, tuned = Known("base", [n < 20 for n in range(40)]), Known("tuned", [n < 30 for n in range(40)])
    found = evaluate(
        [base, tuned], EvaluationRows(examples, ["a", "b"], {"path": "x", "rows": 40, "sha256": None}), Criteria()
    )
    accuracy = {name: figures["accuracy"] for name, figures in found.document["predictors"].items()}
    assert (accuracy["base"]["value"], accuracy["tuned"]["value"]) == (0.5, 0.75)
    difference = found.document["differences"][0]
    assert (difference["metric"], difference["from"], difference["to"]) == ("accuracy", "base", "tuned")
    assert difference["value"] == 0.25 and 0.1 < difference["low"] < 0.25 < difference["high"] < 0.5
    assert found.document["confusion"]["tuned"] == [[15, 5], [5, 15]]
    assert found.document["classes"]["tuned"]["a"] == {"precision": 0.75, "recall": 0.75, "f1": 0.75, "support": 20}
    assert [line["scores"]["tuned"]["accuracy"] for line in found.predictions] == [1.0] * 30 + [0.0] * 10


def test_a_held_out_label_that_training_never_saw_counts_as_wrong():
    examples = [
        graft.AnswerExample(({"role": "user", "content": str(n)},), "abc"[n % 3], graft_origin(n)) for n in range(30)
    ]
    found = evaluate([Known("base", [True] * 30)], EvaluationRows(examples, ["a", "b"], {"path": "x"}), Criteria())
    assert found.document["labels"] == ["a", "b", "c"]


@pytest.mark.parametrize("kept", [False, True])
def test_an_answer_may_be_a_quarter_longer_in_tokens_than_the_longest_reference(kept):
    class Asked(Known):
        def generate(self, examples, max_new_tokens, progress=None):
            self.bound = max_new_tokens
            return [example.completion for example in examples]

    examples = [
        graft.AnswerExample(({"role": "user", "content": str(n)},), "ab " * n + "end", graft_origin(n)) for n in (3, 60)
    ]
    asked = Asked("base", [True, True])
    asked.tokenizer = tiny_model_tokenizer()
    tokens = len(asked.tokenizer(examples[1].completion, add_special_tokens=False).input_ids)
    rows = EvaluationRows(examples, None, {"path": "x"})
    evaluate([CachedPredictor(asked) if kept else asked], rows, Criteria(["exact_match"]))
    assert asked.bound == int(1.25 * tokens) + 8


def graft_origin(n):
    from graft.data.example import Origin

    return Origin("rows.jsonl", n + 1)
