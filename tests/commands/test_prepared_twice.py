"""Running ``graft prepare`` over what it wrote changes nothing, whatever the steps and the rows."""

import json
import random

import pytest

from graft.commands.prepare import prepare_data, settings_class
from graft.config import build
from graft.data.steps import STEPS

OPTIONS = {
    "split": {"eval_share": 0.2, "test_share": 0.2},
    "balance": {"balance": "oversample"},
    "augment": {"augment": "case,typos,word_dropout"},
}
"""What makes a step do something; others are asked for by their names."""
WITH_A_TEACHER = {"paraphrase", "generate"}
"""Steps that ask a model; the tests of these run them twice with one."""
FILES = {"review", "suspects"}
"""Steps that apply a file of decisions, or refuse rows whose labels no word tells; they have tests of their own."""
OF_CLASSES = {"balance"}
"""Steps that refuse rows without classes."""
TESTED = sorted(set(STEPS.names()) - WITH_A_TEACHER - FILES)
SENTENCE = "the film was a very long and rather odd story about two old friends who meet again by the sea"
WORDS = SENTENCE.split()


def messy_text(chance: random.Random) -> str:
    """A text with some of what steps change."""
    text = " ".join(chance.choices(WORDS, k=chance.randint(1, 14)))
    kinds = (
        lambda: f"  {text}\r\n",
        lambda: f"<p>{text}<br/>and <b>more</b> &amp; more</p>",
        lambda: f"{text} cafÃ© dâ€™or",
        lambda: f"{text} write to {chance.choice(WORDS)}@example.com or 4111 1111 1111 1111",
        lambda: f"{text}\u200b\x00",
        lambda: f"<script>{text}</script>",
        lambda: f" {text}&nbsp;",
        lambda: f"{text.upper()} Ã¢â‚¬â„¢ <br>",
        lambda: " ",
        lambda: text,
        lambda: text,
        lambda: text,
    )
    return chance.choice(kinds)()


def messy_rows(seed: int) -> list[dict[str, object]]:
    """Rows with repetitions, near ones, labels in several spellings, missing values, and columns of their own."""
    chance = random.Random(seed)
    rows: list[dict[str, object]] = []
    for number in range(120):
        row = {"text": messy_text(chance), "label": chance.choice(["good", "good", "good", "Good ", "bad", "bads"])}
        if chance.random() < 0.2 and rows:
            row = dict(chance.choice(rows))
        if chance.random() < 0.1 and rows:
            row = {**chance.choice(rows), "text": f"{chance.choice(rows)['text']} {chance.choice(WORDS)}"}
        rows.append({**row, "number": number, "note": chance.choice([None, " kept ", ["a ", {"b": " c"}]])})
        if chance.random() < 0.03:
            del rows[-1]["label"]
    return rows


def messy_answers(seed: int) -> list[dict[str, object]]:
    """Rows with prompts and answers, which a step may leave empty."""
    chance = random.Random(seed)
    answers = ("<br>", "\u200b", " <p> </p>", "&nbsp;")
    return [
        {"prompt": messy_text(chance), "completion": chance.choice((*answers, *(messy_text(chance) for _ in range(9))))}
        for _ in range(100)
    ]


def prepared(output, **given):
    prepare_data(build(settings_class(), {"output_path": output, **given}))
    rows = {path.name: path.read_bytes() for path in output.glob("*.jsonl") if path.name != "changes.jsonl"}
    return rows, [json.loads(line) for line in (output / "changes.jsonl").read_text(encoding="utf-8").splitlines()]


def options_of(names) -> dict[str, object]:
    given: dict[str, object] = {"steps": ",".join(["unreadable", *(name for name in names if name != "unreadable")])}
    for name in names:
        given |= OPTIONS.get(name, {})
    return given


def check_twice(tmp_path, rows: list[dict[str, object]], given: dict[str, object]) -> int:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    first, changes = prepared(tmp_path / "once", data_files=path, **given)
    again, more = prepared(tmp_path / "twice", data_name=str(tmp_path / "once"), **given)
    assert more == [] and again == first
    return len(changes)


@pytest.mark.parametrize("name", TESTED)
def test_a_step_changes_nothing_more(name, tmp_path):
    for seed in range(2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert check_twice(folder, messy_rows(seed), options_of([name])) > 0


@pytest.mark.parametrize("seed", range(3))
def test_all_steps_together_change_nothing_more(seed, tmp_path):
    assert check_twice(tmp_path, messy_rows(seed), options_of(TESTED)) > 20


@pytest.mark.parametrize("seed", range(3))
def test_all_steps_on_answers_change_nothing_more(seed, tmp_path):
    assert check_twice(tmp_path, messy_answers(seed), options_of(sorted(set(TESTED) - OF_CLASSES))) > 20


def test_rows_are_left_out_with_the_copies_of_them(tmp_path):
    given = options_of(["augment", "balance"])
    assert check_twice(tmp_path, messy_rows(0), {**given, "balance": "undersample"}) > 20


def test_several_steps_in_any_choice(tmp_path):
    for seed in range(4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert check_twice(folder, messy_rows(seed), options_of(random.Random(seed).sample(TESTED, 4))) > 0
