"""What the data doctor finds in preferences, in all forms that users bring."""

import json

import pytest

from graft.commands.doctor import diagnose_data, settings_class
from graft.config import build

USER = {"role": "user", "content": "q"}


def say(text):
    return {"role": "assistant", "content": text}


PAIRS = {
    "texts": lambda q, good, bad: {"prompt": q, "chosen": good, "rejected": bad},
    "scores": lambda q, good, bad: {
        "score_rejected": 2.0,
        "prompt": q,
        "rejected": [{"role": "user", "content": q}, say(bad)],
        "chosen": [{"role": "user", "content": q}, say(good)],
        "score_chosen": 8.5,
    },
    "common turns": lambda q, good, bad: {
        "chosen": [{"role": "user", "content": q}, say(good)],
        "rejected": [{"role": "user", "content": q}, say(bad)],
    },
    "dialogues": lambda q, good, bad: {
        "chosen": f"\n\nHuman: {q}\n\nAssistant: {good}",
        "rejected": f"\n\nHuman: {q}\n\nAssistant: {bad}",
    },
    "alpaca": lambda q, good, bad: {"instruction": q, "input": "", "chosen": good, "rejected": bad},
    "two outputs": lambda q, good, bad: {"instruction": q, "input": "", "output": [good, bad]},
    "sharegpt": lambda q, good, bad: {
        "conversations": [{"from": "human", "value": q}],
        "chosen": {"from": "gpt", "value": good},
        "rejected": {"from": "gpt", "value": bad},
    },
    "openai": lambda q, good, bad: {
        "input": {"messages": [{"role": "user", "content": q}]},
        "preferred_output": [say(good)],
        "non_preferred_output": [say(bad)],
    },
    "question": lambda q, good, bad: {"system": "s", "question": q, "chosen": good, "rejected": bad},
    "swift": lambda q, good, bad: {
        "messages": [{"role": "user", "content": q}, say(good)],
        "rejected_response": bad,
    },
    "ranks": lambda q, good, bad: {
        "prompt": q,
        "answers": [{"answer": bad, "rank": 2}, {"answer": good, "rank": 1}],
    },
    "ratings": lambda q, good, bad: {
        "instruction": q,
        "source": "x",
        "completions": [{"response": bad, "overall_score": 1.5}, {"response": good, "overall_score": 8}],
    },
}
VERDICTS = {
    "label": lambda q, answer, good: {"prompt": q, "completion": answer, "label": good},
    "messages": lambda q, answer, good: {"messages": [{"role": "user", "content": q}, say(answer)], "label": good},
    "kto_tag": lambda q, answer, good: {"instruction": q, "input": "", "output": answer, "kto_tag": good},
    "thumbs": lambda q, answer, good: {
        "prompt": q,
        "completion": answer,
        "feedback": "thumbs_up" if good else "thumbs_down",
    },
    "reward": lambda q, answer, good: {"prompt": q, "response": answer, "reward": 1.0 if good else -1.0},
}


@pytest.fixture
def diagnosed(tmp_path):
    def run(rows, **settings):
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        given = {"data_files": str(file), "checks": "unreadable,preferences", **settings}
        return diagnose_data(build(settings_class(), given))

    return run


def kinds(diagnosis):
    return {finding.kind: [origin.line for origin in finding.rows] for finding in diagnosis.findings}


@pytest.mark.parametrize("form", PAIRS)
def test_pairs_are_refused_with_what_they_are_and_spoiled_ones_are_found(diagnosed, form):
    row = PAIRS[form]
    rows = [row("p1", "a", "b"), row("p2", "same", "same"), row("p1", "b", "a"), row("p3", "b", "a")]
    refused = diagnosed(rows)
    equal, opposed = [2], [1, 3]
    assert kinds(refused) == {"preferences": [1, 2, 3, 4], "equal_pairs": equal, "opposed_pairs": opposed}
    assert refused.findings[0].severity == "error" and refused.findings[0].fix == "--column_mapping chosen"
    asked = diagnosed(rows, column_mapping="chosen")
    assert kinds(asked) == {"equal_pairs": equal, "opposed_pairs": opposed}
    assert [example.reference for example in asked.data.train.examples] == ["a", "same", "b", "b"]


@pytest.mark.parametrize("form", VERDICTS)
def test_verdicts_are_refused_and_contradictory_ones_are_found(diagnosed, form):
    row = VERDICTS[form]
    rows = [row("p1", "a", True), row("p1", "b", False), row("p1", "a", False), row("p2", "a", True)]
    refused = diagnosed(rows)
    assert kinds(refused) == {"preferences": [1, 2, 3, 4], "opposed_verdicts": [1, 3]}
    asked = diagnosed(rows, column_mapping="chosen")
    assert kinds(asked) == {"opposed_verdicts": [1, 3]}
    assert [example.reference for example in asked.data.train.examples] == ["a", "a"]


def test_answers_that_are_all_bad_teach_nothing(diagnosed):
    found = diagnosed([VERDICTS["label"](f"p{n}", "a", False) for n in range(4)])
    assert {"preferences", "one_verdict"} <= set(kinds(found))


def test_good_answers_that_are_the_longer_ones(diagnosed):
    def pairs(longer, count=60):
        return [
            PAIRS["texts"](f"p{n}", *(("long answer", "a") if n < longer else ("a", "long answer")))
            for n in range(count)
        ]

    (bias,) = [finding for finding in diagnosed(pairs(50)).findings if finding.kind == "length_bias"]
    assert bias.severity == "warning" and bias.figures["share"] == pytest.approx(50 / 60, abs=1e-4)
    assert "length_bias" not in kinds(diagnosed(pairs(36))) and "length_bias" not in kinds(diagnosed(pairs(40, 48)))


def test_ratings_are_a_warning_and_rewards_a_note(diagnosed):
    rated = [{"prompt": f"p{n}", "response": f"a{n}", "helpfulness": n % 5, "source": n} for n in range(10)]
    (finding,) = diagnosed(rated).findings
    assert (finding.kind, finding.severity) == ("ratings", "warning") and "helpfulness" in finding.title
    assert kinds(diagnosed(rated, ignore_columns="helpfulness")) == {}
    rewarded = [{"prompt": [{"role": "user", "content": f"{n} + 1?"}], "answer": str(n + 1)} for n in range(10)]
    (finding,) = diagnosed(rewarded).findings
    assert (finding.kind, finding.severity) == ("rewarded_answers", "note")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "completion": "c"},
        {"question": "q", "answer": "a"},
        {"text": "t", "label": 1, "score": 0},
        {"prompt": "p", "output": ["one", "two", "three"]},
        {"question": "q", "answers": ["one", "two"]},
        {"prompt": "p", "completion": "c", "score": 1},
        {"prompt": "p", "response": "c", "contexts": [{"text": "t", "score": 0.5}, {"text": "u", "score": 0.1}]},
    ],
)
def test_what_is_no_preference(diagnosed, row):
    assert kinds(diagnosed([row] * 3)) == {}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "response_0": "a", "response_1": "b", "better_response_id": 1, "is_response_0_safe": True},
        {"history": "p", "human_ref_A": "a", "human_ref_B": "b", "labels": 1, "score_A": 3, "score_B": 2},
        {"prompt": "p", "response_a": "a", "response_b": "b", "winner": "model_a", "model_a": "x", "model_b": "y"},
        {"conversation_a": [say("a")], "conversation_b": [say("b")], "winner": "tie"},
    ],
)
def test_two_answers_and_which_is_better_are_preferences(diagnosed, row):
    (finding,) = diagnosed([row] * 3).findings
    assert (finding.kind, finding.severity, len(finding.rows)) == ("preferences", "error", 3)
    assert "template" not in str(finding.remedies) and "better answer" in finding.remedy


@pytest.mark.parametrize(
    "row",
    [
        {"context": "c", "ask": "q", "answerA": "a", "answerB": "b", "answerC": "c", "label": 1},
        {"goal": "g", "option_1": "a", "option_2": "b", "label": 0},
        {"one": "p", "text_a": "a", "text_b": "b", "label": 0},
    ],
)
def test_choices_and_pairs_are_no_preferences(diagnosed, row):
    assert "preferences" not in kinds(diagnosed([row] * 3))


def test_a_preference_without_a_bad_answer_is_named(diagnosed):
    row = PAIRS["texts"]
    found = kinds(diagnosed([row("p1", "a", "b"), row("p2", "a", None), row("p3", "a", "b")]))
    assert found == {"preferences": [1, 3], "incomplete_pairs": [2]}
