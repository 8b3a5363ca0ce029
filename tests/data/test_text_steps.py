"""The steps of graft prepare that change texts: what they change, what they leave, and that twice changes no more."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.config import DataSettings
from graft.data.example import Origin
from graft.data.readers import Row
from graft.data.steps import STEPS, Change, StepContext
from graft.errors import InputError

ORDER = ("encoding", "control_characters", "html", "blanks", "privacy")
CASES = {
    "encoding": {
        "Is the cafÃ© open?": "Is the café open?",
        "itâ€™s": "it’s",
        "‘so’ ﬁne … ½": None,
        "UTF-8 'Ã©' read as Latin-1": None,
    },
    "control_characters": {
        "a\x00b\x1b[31mred\x1b[0m": "abred",
        "zero\u200bwidth \ufeffmark": "zerowidth mark",
        "tab\tline\n": None,
        "one\rtwo\u2028three\x0cfour\r\n": "one\ntwo\nthree\nfour\r\n",
        "soft\u00adhyphen": "softhyphen",
        "page one\n\x0c\npage two": None,
        "می\u200cخواهم 👨\u200d👩": None,
    },
    "html": {
        "Great!<br /><br />I <b>loved</b> it &amp; more": "Great!\n\nI loved it & more",
        "<p>One</p><p>Two</p>": "One\n\nTwo",
        "a &amp;lt;br&amp;gt; b": "a\n b",
        "hid&#8203;den": "hidden",
        "go &rarr; there<p>now": "go → there\nnow",
        '{"a": "x &quot; y"}': None,
        "def f():\n    return '<br />'\n": None,
        "Which HTML tag is <br />?": None,
        "use `<br />` for it": None,
        "a < b": None,
    },
    "blanks": {
        " text \n": "text",
        "one\r\ntwo\r\r\n": "one\ntwo",
        "\n\n    if x:\n        y\n": "    if x:\n        y",
        "  A poem\nof two lines": "A poem\nof two lines",
        "a  b\n\n c": None,
    },
    "privacy": {
        "write to jo@example.com or +49 30 1234567": "write to [e-mail] or [phone]",
        "key ghp_abcdefghijklmnopqrstuvwxyz0123456789": "key [key]",
        "order 1234567890": None,
    },
}

PARTS = (
    "<br>",
    "&amp;",
    "&lt;",
    "&#8203;",
    "Ã©",
    "â€™",
    "\x00",
    "\u200b",
    "\u200d",
    "\r\n",
    "\ufeff",
    "<",
    ">",
    "&",
    "क",
)


def stepped(
    columns: Sequence[Mapping[str, Any]], *names: str, **given: Any
) -> tuple[list[Mapping[str, Any]], list[Change]]:
    """The columns of rows after these steps, and the changes that were logged."""
    rows = [Row(dict(each), Origin("rows.jsonl", number)) for number, each in enumerate(columns, 1)]
    sides, context = {"train": rows}, StepContext(None, DataSettings(**given))
    for name in names:
        sides = STEPS.get(name).apply(sides, context)  # type: ignore[arg-type, assignment]
    return [row.columns for row in sides["train"]], list(context.log.changes)


@pytest.mark.parametrize("name", ORDER)
def test_texts_change_where_they_should_alone(name: str) -> None:
    cases = CASES[name]
    columns, changes = stepped([{"prompt": text, "completion": "so"} for text in cases], name)
    assert [row["prompt"] for row in columns] == [text if after is None else after for text, after in cases.items()]
    changed = {text: after for text, after in cases.items() if after is not None}
    assert {change.before: change.after for change in changes} == changed
    assert {(change.step, change.column) for change in changes} == {(name, "prompt")}


@pytest.mark.parametrize("name", ORDER)
def test_messages_change_and_columns_that_are_not_read_do_not(name: str) -> None:
    before = next(iter(CASES[name]))
    talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": before}]
    (row,), (change,) = stepped([{"messages": talk, "id": before}], name)
    assert row["id"] == before and row["messages"][0] == talk[0]
    assert row["messages"][1] == {"role": "assistant", "content": CASES[name][before]}
    assert change.column == "messages[1].content"


def test_what_is_trained_word_for_word_keeps_its_blanks() -> None:
    for columns, templates in (
        ({"text": "Q: x\r\nA: y \n"}, {}),
        ({"q": " x", "a": " y"}, {"text_template": "{q}\n{a}"}),
    ):
        (row,), _ = stepped([columns], "blanks", **templates)
        assert row == {name: text.replace("\r\n", "\n") for name, text in columns.items()}
    tagged = {"tokens": ["New ", " York"], "tags": ["B", "I"]}
    assert stepped([tagged], "blanks") == ([tagged], [])


def test_the_log_of_changes_has_no_personal_data() -> None:
    _, changes = stepped([{"prompt": " write to jo@example.com\x00", "completion": "x"}], *ORDER)
    assert [change.step for change in changes] == ["control_characters", "blanks", "privacy"]
    assert "jo@" not in str([change.record() for change in changes])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("html", "<b>jo</b>@example.com"),
        ("html", "<td>j</td>jo@example.com"),
        ("html", "jo&amp;amp;#64;example.com"),
        ("html", "jo<img src='x'>@example.com"),  # found only in the text after
        ("control_characters", "jo\u200b@example.com"),
        ("control_characters", "\x00<i>jo</i>@example.com"),
        ("control_characters", "4111\x00 1111 1111 11\u206011"),
        ("blanks", " jo&commat;example.com"),
    ],
)
def test_the_log_shows_nothing_that_a_change_uncovers(name: str, text: str) -> None:
    _, (change,) = stepped([{"prompt": text, "completion": "x"}], name)
    record = str(change.record())
    assert not re.search(r"example|4111|11\b", record) and re.search(r"\[(e-mail|card)\]", record), record


@pytest.mark.parametrize(
    ("name", "labels", "merged"),
    [
        ("privacy", ("jo@example.com", "al@example.com"), "[e-mail]"),
        ("html", ("<b>R</b>", "<i>R</i>"), "R"),
        ("html", ("<br>", "<hr>"), ""),
    ],
)
@pytest.mark.parametrize("kind", ["class", "several", "tags"])
def test_labels_that_differ_do_not_become_one(name: str, labels: tuple[str, str], merged: str, kind: str) -> None:
    value = {"class": lambda label: label, "several": lambda label: [label, "ok"], "tags": lambda label: [label, "O"]}
    texts = [f"text {n}" if kind != "tags" else ["text", str(n)] for n in range(40)]
    column, read = ("tags", "tokens") if kind == "tags" else ("label", "text")
    rows = [{read: text, column: value[kind](labels[n % 2])} for n, text in enumerate(texts)]
    with pytest.raises(InputError, match=f"one label, {merged!r}, of 2 in the column {column!r}".replace("[", r"\[")):
        stepped(rows, name)
    renamed = [{read: text, column: value[kind](("ops", labels[1])[n % 2])} for n, text in enumerate(texts)]
    (_, changed, *_), changes = stepped(renamed, name)  # one label alone is still told from the others
    assert changed[column] == value[kind](merged) and len(changes) == 20


def test_the_log_of_masks_says_what_kinds_were_masked() -> None:
    _, (change,) = stepped([{"prompt": "jo@example.com, +49 30 1234567, al@example.com", "completion": "x"}], "privacy")
    assert change.record()["why"] == "it had personal data: e-mail, phone"


def test_the_log_masks_the_names_of_columns() -> None:
    change = Change("html", "changed", Origin("rows.jsonl", 1), "train", "it had HTML", "jo@example.com", "<br>", "")
    assert change.record()["column"] == "[e-mail]"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([text for cases in CASES.values() for text in cases]),
            st.sampled_from(PARTS),
            st.text(max_size=6),
        ),
        min_size=1,
        max_size=6,
    )
)
@pytest.mark.parametrize("name", ORDER)
def test_a_step_changes_nothing_in_what_it_left(name: str, parts: list[str]) -> None:
    once, _ = stepped([{"prompt": "".join(parts), "completion": "so"}], name)
    twice, changes = stepped(once, name)
    assert (twice, changes) == (once, [])


def test_all_steps_together_change_nothing_in_what_they_left() -> None:
    texts = [text for cases in CASES.values() for text in cases]
    rows = [{"prompt": f"{one} {other}", "completion": "so"} for one in texts for other in texts]
    once, changes = stepped(rows, *ORDER)
    assert len(changes) > len(texts)
    twice, changes = stepped(once, *ORDER)
    assert (twice, changes) == (once, [])
