"""Rows that stand several times: equal, nearly, with other answers, and on the side that models are judged by."""

import json

import pytest

from graft.config import DataSettings
from graft.data.checks import run_checks
from graft.planning.checked_data import read_data

CHECKS = ("duplicates", "near_duplicates", "contradictions", "leakage", "near_leakage")
TEXTS = (
    "the delivery came two days late and nobody called",
    "my new phone has a wonderful screen and feels light",
    "we waited an hour for a table by the window",
    "the battery is empty before lunch every single day",
    "a quiet room with a view over the old harbor",
    "support answered at once and sent me a new cable",
)


def row(text, label="good"):
    return {"text": text, "label": label}


@pytest.fixture
def found(tmp_path):
    def run(train, held_out=(), against=(), names=CHECKS, **settings):
        paths = {}
        for name, rows in (("train", train), ("eval", held_out), ("against", against)):
            paths[name] = tmp_path / f"{name}.jsonl"
            paths[name].write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        files = {
            "data_files": (str(paths["train"]),),
            **({"eval_data_files": (str(paths["eval"]),)} if held_out else {}),
        }
        data = read_data(DataSettings(**files, **settings), [str(paths["against"])] if against else None, 42, None)
        return [(each, [origin.line for origin in each.rows]) for each in run_checks(data, names)]

    return run


def said(findings):
    return [(each.kind, each.severity, each.side, rows) for each, rows in findings]


def test_rows_that_differ_are_none_of_these(found):
    assert said(found([row(text) for text in TEXTS], [row("something else")], [row("yet another")])) == []


def test_all_repeated_rows_are_named_and_nothing_else(found):
    rows = [row(TEXTS[0]), row(TEXTS[1]), row(TEXTS[0]), row(TEXTS[0], "bad"), row(TEXTS[0])]
    (finding, lines), *others = found(rows, names=["duplicates"])
    assert (lines, others, finding.severity, finding.side) == ([3, 5], [], "warning", "train")
    assert finding.title == "2 rows repeat an earlier row" and "train.jsonl:1" in finding.evidence[0]
    assert "--keep_duplicates" in finding.remedy and finding.figures == {"rows": 2, "share": 0.4}


def test_a_few_repeated_rows_among_many_are_a_note(found):
    rows = [row(f"{text} {n * 7919}") for n in range(20) for text in TEXTS]
    (finding, lines), *_ = found([*rows, rows[5]], names=["duplicates"])
    assert (finding.severity, lines) == ("note", [121]) and finding.title == "1 row repeats an earlier row"


def test_near_duplicates_with_the_same_answer_are_told_from_those_with_another(found):
    rows = [*map(row, TEXTS), row(f"{TEXTS[0]}!!"), row(f"{TEXTS[1]}.", "bad"), row(TEXTS[2].upper())]
    findings = found(rows, names=["near_duplicates"])
    assert said(findings) == [("near_duplicates", "warning", "train", [7, 9]), ("near_twins", "note", "train", [8])]
    repeated = findings[0][0]
    assert repeated.fix == "graft prepare DATA -o OUT --steps near_duplicates"
    assert "train.jsonl:1" in repeated.evidence[0] and "Jaccard index 0.9" in repeated.evidence[0]
    assert sum(repeated.figures["similarity"]["counts"]) == 2


def test_plain_texts_have_no_answer_that_could_be_another(found):
    rows = [{"text": text} for text in (*TEXTS, f"{TEXTS[0]}!")]
    assert said(found(rows, names=["near_duplicates"])) == [("near_duplicates", "warning", "train", [7])]


def test_contradictions_are_of_exactly_equal_prompts_and_all_rows_are_named(found):
    rows = [
        *map(row, TEXTS),
        row(TEXTS[0], "bad"),
        row(TEXTS[0]),
        row(f"{TEXTS[1]}!", "bad"),
        row(TEXTS[2].upper(), "bad"),
    ]
    (finding, lines), *others = found(rows, names=["contradictions"])
    assert (lines, others, finding.severity) == ([1, 7, 8], [], "warning")
    (evidence,) = finding.evidence
    assert "good" in evidence and "bad" in evidence and "train.jsonl:7" in evidence and TEXTS[0][:20] in evidence


def test_several_long_answers_to_one_prompt_are_a_note(found):
    rows = [{"prompt": "Tell a story.", "completion": f"{n} " * 150} for n in ("once", "upon")]
    assert said(found(rows)) == [("contradictions", "note", "train", [1, 2])]


def test_empty_prompts_contradict_nothing(found):
    assert said(found([{"text": "one thing"}, {"text": "another one"}], names=["contradictions"])) == []


@pytest.mark.parametrize("side", ["eval", "against"])
def test_leaks_are_named_in_both_files(found, side):
    judged = [
        row(TEXTS[0]),
        row("nothing like it"),
        row(TEXTS[1].upper(), "bad"),
        row(f"{TEXTS[2]}?"),
        row(f"{TEXTS[3]}.", "bad"),
    ]
    findings = found([*map(row, TEXTS)], **{"held_out" if side == "eval" else "against": judged})
    assert said(findings) == [
        ("leakage", "warning", side, [1]),
        ("leakage", "warning", side, [3]),
        ("near_leakage", "warning", side, [4]),
        ("near_leakage", "note", side, [5]),
    ]
    assert all("train.jsonl:" in each.evidence[0] and f"{side}.jsonl:" in each.evidence[0] for each, _ in findings)
    assert all(bool(each.fix) == (side == "eval") for each, _ in findings)


def test_what_leaks_is_not_quoted_with_personal_data(found):
    secret = "write to jane.doe@example.com about the invoice of last week"
    findings = found([*map(row, TEXTS), row(secret), row(secret, "bad"), row(secret)], [row(secret)])
    assert findings and not any("jane.doe" in str(each) for each, _ in findings)


def test_an_instruction_in_front_of_all_texts_is_no_repetition_and_is_not_quoted(found):
    rows = [
        row(f"Judge this review of a customer, and answer with one word only: {text} {n}")
        for n, text in enumerate(TEXTS * 3)
    ]
    assert said(found(rows[:6])) == []
    findings = found([*rows, row(rows[0]["text"])], names=["duplicates"])
    assert "Judge" not in findings[0][0].evidence[0]


def test_conversations_are_named_once_though_they_have_several_answers(found):
    def turns(*texts):
        return {"messages": [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]}

    chat = turns(TEXTS[0], "yes", TEXTS[1], "no")
    findings = found([chat, turns(TEXTS[2], "maybe"), chat], [chat])
    assert said(findings) == [("duplicates", "warning", "train", [3]), ("leakage", "warning", "eval", [1])]


def test_a_near_twin_is_named_and_not_the_exact_copy_of_the_row(found):
    like = [row(f"{TEXTS[0]}!!"), row(f"{TEXTS[1]}.", "bad")]
    rows = [*map(row, TEXTS), *like, *like]
    repeated, others = (finding for finding, _ in found(rows, names=["near_duplicates"]))
    for finding, twin in ((repeated, "train.jsonl:1"), (others, "train.jsonl:2")):
        assert [twin in line and "Jaccard index 0." in line for line in finding.evidence] == [True]


def test_a_row_that_repeats_a_contradicting_copy_nearly_is_a_repetition_of_it(found):
    rows = [*map(row, TEXTS), row(TEXTS[0], "bad"), row(f"{TEXTS[0]}!", "bad")]
    assert said(found(rows, names=["near_duplicates"])) == [("near_duplicates", "warning", "train", [8])]


@pytest.mark.parametrize(
    "make",
    [
        lambda text, n: row(text, ("good", "bad")[n % 2]),
        lambda text, n: {"prompt": text, "completion": f"answer {n}"},
        lambda text, n: {"instruction": text, "input": "", "output": f"answer {n}"},
        lambda text, n: {"question": text, "context": " ", "answer": f"answer {n}"},
    ],
)
def test_empty_prompts_are_named_once_and_are_like_no_other_row(found, make):
    rows = [make(text, n) for n, text in enumerate((*TEXTS, "", " \n", "", "\t"))]
    (finding, lines), *others = found(rows, rows[6:7], names=[*CHECKS, "empty_prompts"])
    assert (finding.kind, finding.severity, lines) == ("empty_prompts", "warning", [7, 8, 9, 10])
    assert [(each.kind, each.side) for each, _ in others] == [("empty_prompts", "eval")]


def test_an_empty_input_beside_an_instruction_is_no_empty_prompt(found):
    rows = [{"instruction": text, "input": "", "output": "yes"} for text in TEXTS]
    assert said(found(rows, names=["empty_prompts"])) == []


BENCHMARKS = [
    lambda text: {"text": text},
    lambda text: {"question": text, "choices": ["a", "b"], "answer": 1},
    lambda text: {"prompt": text, "canonical_solution": "x"},
    lambda text: {"messages": [{"role": "user", "content": text}]},
    lambda text: {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]},
]
TRAINED = [
    row,
    lambda text: {"prompt": text, "completion": "yes"},
    lambda text: {"instruction": text, "input": "", "output": "yes"},
    lambda text: {"text": text},
    lambda text: {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]},
    lambda text: {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": text},
            {"role": "assistant", "content": "yes"},
        ]
    },
    lambda text: {"prompt": [{"role": "user", "content": text}], "completion": [{"role": "assistant", "content": "y"}]},
]


@pytest.mark.parametrize("train", TRAINED)
@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_a_benchmark_is_compared_whatever_its_columns_are(found, train, benchmark):
    judged = [benchmark(text) for text in (TEXTS[0], "nothing like it", f"{TEXTS[1]}?")]
    findings = found([train(text) for text in TEXTS], against=judged, names=[*CHECKS, "unreadable"])
    assert said(findings) == [("leakage", "warning", "against", [1]), ("near_leakage", "warning", "against", [3])]


def test_what_is_wrong_with_a_benchmark_is_said_of_it_and_is_no_error(found):
    rows = [*map(row, TEXTS)]
    ((finding, _),) = found(rows, against=[{"id": 1, "score": 2}], names=["unreadable"])
    assert (finding.kind, finding.severity, finding.side) == ("not_compared", "warning", "against")
    assert "refuse" not in finding.why and "text" in finding.title
    findings = found(rows, against=[{"question": TEXTS[0]}, {"question": None}], names=["unreadable", "leakage"])
    assert said(findings) == [("not_compared", "warning", "against", [2]), ("leakage", "warning", "against", [1])]


def test_of_a_benchmark_only_what_it_asks_matters(found):
    odd = {"question": "<p>one</p> caf\u00c3\u00a9\x00", "choices": [1]}
    odd = [odd, odd, {**odd, "id": 1}, {"question": "jo<br>", "text": "<b>x</b>", "choices": ["a"]}]
    names = [
        *CHECKS,
        "html",
        "encoding",
        "control_characters",
        "columns",
        "conversations",
        "label_variants",
        "templates",
    ]
    assert said(found([*map(row, TEXTS)], against=odd, names=names)) == []
