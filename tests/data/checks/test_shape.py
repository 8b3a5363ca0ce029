"""Columns, templates, conversations, HTML, and languages: planted rows are named, and near misses are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from written_rows import CALM, findings, lines, texts

HTML = (
    *("Great!<br /><br />I loved it.", "salt &amp; pepper", "it&#39;s nice", "<p>One</p><p>Two</p>", "a&nbsp;b"),
    *('see <a href="http://x.y">this</a> now', "<b>bold</b> words", "x<!-- c -->y", "I love <span class='a-size'>it"),
    *(
        "&rarr; there",
        "it is &frac12; full",
        "Bien s&ucirc;r",
        "One.<p>Two",
        "the end</p>",
        "<b>bold words",
        "so bad</i>",
    ),
    *("<section>x</section>", "<iframe src='x'></iframe>", "<button>go</button>", "<li>item one"),
    *("&quot;so good&quot;", "A price tag of &pound;5", "<script>alert(1)</script>hi"),
)
NO_HTML = (
    *("Write HTML with <p> and </p>", "def f():\n    return '<br />'\n", "if a < b and c > d", "Vec<b> x", "List<a>"),
    *("SELECT * FROM <table> WHERE x", "insert <a> and <b> there", "a &nothing; b"),
    *("use `<br />` there", "<think>hm</think>", "AT&T; R&D", "x &y; z", "</s> end", "<|im_start|>", "#include <a.h>"),
    *(
        "How do I escape &amp; in XML?",
        "```\n<p>x</p>\n```",
        "the <summary>s</summary>",
        "So:\n\n    print '<FONT COLOR=1>'",
    ),
    "What does the '<b>' tag do, and </b>?",
)
FOREIGN = (
    "Welcher Fluss fließt an der Burg der Stadt vorbei, und wie lang ist er?",
    "Quel fleuve passe devant le château de la ville, et quelle est sa longueur ?",
    "Какая река протекает мимо замка?",
    "どの川が城のそばを流れていますか",
)
ALIKE = (
    "Ok",
    "Déjà vu in Zürich",
    "for (i = 0; i < n; i++) { x[i] = y[i] * z[i]; }",
    "GET /api/v2/users?id=42",
    "μ = 5",
)


@pytest.mark.parametrize(
    ("kind", "check", "planted", "near"),
    [("html", "html", HTML, NO_HTML), ("other_language", "languages", FOREIGN[:2], ALIKE)],
)
def test_planted_rows_are_named_and_near_misses_are_not(
    kind: str, check: str, planted: tuple[str, ...], near: tuple[str, ...], tmp_path: Path
) -> None:
    rows = [*CALM, *texts(*planted, *near)]  # two of 82 are a small minority
    found = findings(tmp_path, rows, check)
    assert sorted(lines(found, kind)) == list(range(81, 81 + len(planted)))
    assert {finding.kind for finding in found} == {kind}


def test_many_rows_in_other_languages_are_a_note(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, [*CALM, *texts(*FOREIGN * 10)], "languages")
    assert (finding.kind, finding.severity, len(finding.rows)) == ("languages", "note", 40)
    assert finding.figures["languages"] == {"en": 80, "de": 10, "fr": 10, "ru": 10, "ja": 10}


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        ("### Question:\n{}\n### Answer:", "Question: {}\nAnswer:"),
        ("Answer in one word. {}", "{}"),
        ("{}\nAnswer in one word.", "{}"),
        ("Context: a town\nQuestion: {}\nSay it short.", "Context: a town\nQ: {}\nSay it short."),
        ("{}", "### Instruction:\n{}"),
        ("{}", "Question: {}"),
        ("Question: {}\nAnswer:", "Question:{}\nAnswer:"),
        ("Question: {}\nAnswer:", "Question: {}\nAnswer: "),
        ("Question: {}\nAnswer:", "Question: {}\n\nAnswer:\n"),
        ("Answer in one word. {}", "Answer in one word.\n{}"),
    ],
)
def test_rows_with_another_template_are_named(usual: str, other: str, tmp_path: Path) -> None:
    rows = [{**row, "prompt": (other if n in {7, 30} else usual).format(row["prompt"])} for n, row in enumerate(CALM)]
    (finding,) = findings(tmp_path, rows, "templates")
    assert (finding.kind, [origin.line for origin in finding.rows]) == ("templates", [8, 31])


@pytest.mark.parametrize("share", [4, 10])
def test_answers_and_tasks_that_many_rows_share_are_no_template(share: int, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "prompt": f"Write a {'C' if n % share else 'Java'} function that adds {n}.",
            "completion": f'{{"sum": {n}, "by": 1}}' if n % share else f'{{"total": {n}, "by": 2}}',
        }
        for n in range(100)
    ]
    assert findings(tmp_path, rows, "templates") == []


def test_a_system_message_that_most_conversations_have_is_missed(tmp_path: Path) -> None:
    def talk(n: int, system: str) -> dict[str, Any]:
        said = [("system", system), ("user", f"How far is town {n}?"), ("assistant", f"{n} miles")]
        return {"messages": [{"role": role, "content": text} for role, text in said if text]}

    rows = [talk(n, {5: "", 9: "You are a pirate."}.get(n, "You are a guide.")) for n in range(40)]
    (finding,) = findings(tmp_path, rows, "templates")
    assert [origin.line for origin in finding.rows] == [6, 10]


ORDERS = {
    "begins with the assistant": ("assistant user assistant", "system assistant user assistant"),
    "two turns of the user in a row": ("user user assistant", "human user gpt"),
    "two turns of the assistant in a row": ("user assistant assistant",),
    "a system message behind a turn": ("user system assistant", "user assistant system user assistant"),
    "ends with the user": ("user assistant user",),
}
RIGHT = (
    "user assistant",
    "system user assistant",
    "human gpt human gpt",
    "developer user assistant",
    "user tool_call tool gpt",
)


def talk(roles: str, **contents: str) -> dict[str, Any]:
    """A conversation of these roles."""
    turns = [
        {"role": role, "content": '{"name": "f", "arguments": {}}' if role == "tool_call" else f"turn {number}"}
        for number, role in enumerate(roles.split())
    ]
    for number, content in contents.items():
        turns[int(number.removeprefix("turn"))]["content"] = content
    return {"messages": turns}


def test_roles_out_of_order_are_named_with_the_reason(tmp_path: Path) -> None:
    planted = [(reason, roles) for reason, orders in ORDERS.items() for roles in orders]
    (finding,) = findings(tmp_path, [*map(talk, RIGHT), *(talk(roles) for _, roles in planted)], "conversations")
    assert [origin.line for origin in finding.rows] == list(range(len(RIGHT) + 1, len(RIGHT) + len(planted) + 1))
    assert finding.kind == "roles_out_of_order"
    assert finding.figures == {reason: len(orders) for reason, orders in ORDERS.items()}


def test_empty_turns_are_named(tmp_path: Path) -> None:
    rows = [talk("user assistant"), talk("user assistant", turn0=" \n"), talk("user assistant user gpt", turn1="")]
    (finding,) = findings(tmp_path, rows, "conversations")
    assert (finding.kind, [origin.line for origin in finding.rows]) == ("empty_turns", [2, 3])


def test_a_prompt_of_messages_may_end_with_the_user(tmp_path: Path) -> None:
    rows = [{"prompt": [{"role": "user", "content": f"{n}?"}], "completion": f"{n}"} for n in range(3)]
    assert findings(tmp_path, rows, "conversations") == []


def test_rows_with_other_columns_are_named(tmp_path: Path) -> None:
    rows = [*CALM, {**CALM[0], "system": "Be kind."}, {"prompt": "And?", "completion": "So.", "note": 1}]
    (finding,) = findings(tmp_path, rows, "columns")
    assert (finding.kind, finding.severity, [origin.line for origin in finding.rows]) == (
        "mixed_columns",
        "warning",
        [41, 42],
    )
    (finding,) = findings(tmp_path, [*CALM, {**CALM[0], "note": "x"}], "columns")
    assert finding.severity == "note"


def test_values_of_another_type_are_named(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": "ab"[n % 2]} for n in range(30)]
    rows += [{"text": "number", "label": 1}, {"text": ["a", "b"], "label": "a"}]  # type: ignore[dict-item]
    found = findings(tmp_path, rows, "columns")
    assert [(finding.kind, [origin.line for origin in finding.rows]) for finding in found] == [
        ("mixed_types", [31]),
        ("mixed_types", [32]),
    ]
    numbers = [{"text": f"text {n}", "label": 1 if n % 2 else 0.5} for n in range(30)]
    assert findings(tmp_path, numbers, "columns") == []


def test_nothing_is_found_in_calm_rows(tmp_path: Path) -> None:
    checks = ("unreadable", "columns", "templates", "conversations", "html", "encoding", "control_characters")
    assert findings(tmp_path, CALM, *checks, "languages", "personal_data") == []


def _say(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [_say("user", "q")], "chosen": [_say("assistant", "a")], "rejected": [_say("assistant", "b")]},
        {
            "chosen": [_say("user", "q"), _say("assistant", "a")],
            "rejected": [_say("user", "q"), _say("assistant", "b")],
        },
        {
            "prompt": "q",
            "chosen": [_say("user", "q"), _say("assistant", "a")],
            "rejected": [_say("user", "q"), _say("assistant", "b")],
            "messages": [_say("user", "q"), _say("assistant", "a")],
        },
        {"prompt": [_say("user", "q")], "response_a": "a", "response_b": "b"},
    ],
)
@pytest.mark.parametrize("named", [None, "chosen"])
def test_answers_beside_turns_are_in_order(row: dict[str, Any], named: str | None, tmp_path: Path) -> None:
    assert findings(tmp_path, [row] * 3, "conversations", column_mapping=named) == []


def test_turns_of_an_answer_that_do_not_follow_those_of_the_prompt_are_out_of_order(tmp_path: Path) -> None:
    row = {"prompt": [_say("user", "q"), _say("assistant", "a")], "completion": [_say("assistant", "b")]}
    (finding,) = findings(tmp_path, [row] * 3, "conversations")
    assert finding.kind == "roles_out_of_order" and finding.figures == {"two turns of the assistant in a row": 3}


def test_an_empty_instruction_where_nearly_all_have_one_is_named(tmp_path: Path) -> None:
    rows = [{"instruction": f"Do task {n} now", "input": f"thing {n}", "output": f"done {n}"} for n in range(60)]
    assert findings(tmp_path, rows, "templates") == []
    (finding,) = findings(tmp_path, [*rows, {"instruction": "", "input": "thing", "output": "x"}], "templates")
    assert [origin.line for origin in finding.rows] == [61] and "no instruction" in finding.evidence[0]


def test_a_few_texts_that_are_long_enough_tell_no_usual_language(tmp_path: Path) -> None:
    rows = [{"prompt": f"Nr {n}", "completion": "ok"} for n in range(50)]
    rows += [{"prompt": text, "completion": "ok"} for text in (CALM[0]["prompt"], *FOREIGN[:2])]
    assert findings(tmp_path, rows, "languages") == []
