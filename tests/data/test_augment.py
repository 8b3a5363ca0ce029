"""Changed copies of training rows."""

import json

import pytest

from data_rows import made
from graft.config import DataSettings, build
from graft.data.checks import CheckedData, Side, run_checks
from graft.data.class_rows import ClassRows
from graft.data.columns import recognize
from graft.data.provenance import PROVENANCE, was_added
from graft.data.quality import to_examples
from graft.data.steps import ChangeLog, StepContext
from graft.data.steps.augment import Augment, AugmentSettings
from graft.data.steps.paraphrase import Paraphrase, ParaphraseSettings, fault
from graft.data.steps.teacher import Written
from graft.errors import InputError

TONE = made(
    *({"text": f"what a wonderful morning it was, number {n}", "label": ("good", "bad")[n % 2]} for n in range(20))
)


def augmented(rows, sides=None, seed=1, settings=None, **given):
    context = StepContext(build(AugmentSettings, given), settings or DataSettings(), ChangeLog(), seed)
    return Augment().apply({"train": rows, **(sides or {})}, context), context


def test_copies_keep_their_answer_say_where_they_are_from_and_are_the_same_every_time():
    sides, context = augmented(TONE, augment="case,typos,word_dropout", augment_copies=2)
    rows, added = list(sides["train"])[:20], list(sides["train"])[20:]
    assert rows == TONE and len(added) == 40
    texts = {row.columns["text"] for row in rows}
    for row in added:
        found = row.columns[PROVENANCE]
        source = TONE[int(found["source"].split(":")[1]) - 1]
        assert row.columns["label"] == source.columns["label"] and row.columns["text"] not in texts
        assert found["step"] == "augment" and found["kind"] in ("case", "typos", "word_dropout")
        assert was_added(row.columns) and row.origin.added
    assert len({row.columns["text"] for row in added}) == 40
    assert context.log.counts["augment"]["added"] == 40
    again, _ = augmented(TONE, augment="case,typos,word_dropout", augment_copies=2)
    assert list(again["train"]) == list(sides["train"])
    other, _ = augmented(TONE, augment="case,typos,word_dropout", augment_copies=2, seed=2)
    assert list(other["train"]) != list(sides["train"])
    backwards, _ = augmented(TONE[::-1], augment="case,typos,word_dropout", augment_copies=2)
    assert {r.columns["text"] for r in backwards["train"]} == {r.columns["text"] for r in sides["train"]}


def test_a_second_run_adds_nothing_with_another_seed_either():
    sides, _ = augmented(TONE, augment="typos", augment_copies=3)
    for seed in (1, 7):
        again, context = augmented(list(sides["train"]), augment="typos", augment_copies=3, seed=seed)
        assert list(again["train"]) == list(sides["train"]) and not context.log.counts["augment"]["added"]


def test_a_share_of_the_rows_gets_copies_and_only_rows_to_train_on():
    sides, _ = augmented(TONE, {"eval": TONE[:5], "test": TONE[5:9]}, augment="typos", augment_share=0.5)
    assert 20 < len(sides["train"]) < 38
    assert list(sides["eval"]) == TONE[:5] and list(sides["test"]) == TONE[5:9]


def test_a_copy_is_never_a_text_that_models_are_judged_by():
    judged = made(*({"text": f"WHAT A WONDERFUL MORNING IT WAS, NUMBER {n}!", "label": "good"} for n in range(20)))
    sides, _ = augmented(TONE, {"eval": judged}, augment="case")
    assert len(sides["train"]) == 20


def test_templates_are_put_around_the_text(tmp_path):
    file = tmp_path / "templates.txt"
    file.write_text("How does this sound? {text}\n\n{text}\\nWhat is its tone?\n", "utf-8")
    sides, _ = augmented(TONE, augment_templates=str(file))
    texts = [row.columns["text"] for row in list(sides["train"])[20:]]
    assert len(texts) == 20 and {text.startswith("How") for text in texts} == {True, False}
    assert all("\nWhat is" in text for text in texts if not text.startswith("How"))
    file.write_text("no place\n{text} {text}\n", "utf-8")
    with pytest.raises(InputError) as caught:
        augmented(TONE, augment_templates=str(file))
    assert [problem.where for problem in caught.value.problems] == [f"{file}:1", f"{file}:2"]


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ({"prompt": "tell me about Rome", "completion": "a city"}, lambda c: c["prompt"]),
        ({"instruction": "Summarize.", "input": "a long story of Rome", "output": "a city"}, lambda c: c["input"]),
        ({"question": "where is Rome now", "answer": "in Italy"}, lambda c: c["question"]),
        (
            {"messages": [{"role": "user", "content": "about Rome"}, {"role": "assistant", "content": "a city"}]},
            lambda c: c["messages"][0]["content"],
        ),
        (
            {"conversations": [{"from": "human", "value": "about Rome"}, {"from": "gpt", "value": "a city"}]},
            lambda c: c["conversations"][0]["value"],
        ),
    ],
)
def test_the_input_is_changed_wherever_it_is_and_nothing_else(row, place):
    (source, *added) = augmented(made(row), augment="case")[0]["train"]
    (copy,) = added
    assert place(copy.columns) != place(source.columns)
    assert place(copy.columns).lower() == place(source.columns).lower()
    whole = {name: value for name, value in copy.columns.items() if name != PROVENANCE}
    assert json.dumps(whole).lower() == json.dumps(source.columns).lower()
    assert json.dumps(whole).count("a city") == json.dumps(source.columns).count("a city")


def test_rows_with_several_turns_are_passed_over_and_kinds_without_an_input_are_refused():
    talk = [{"role": role, "content": "about Rome"} for role in ("user", "assistant", "user", "assistant")]
    assert len(augmented(made({"messages": talk}), augment="case")[0]["train"]) == 1
    for row in ({"text": "all of it is trained on"}, {"tokens": ["Rome", "is"], "tags": ["B-place", "O"]}):
        with pytest.raises(InputError, match="get no changed copies"):
            augmented(made(row), augment="case")
    with pytest.raises(InputError, match=r"no change called 'typo'.*typos"):
        augmented(TONE, augment="typo")


class Wordy:
    """A teacher that answers by a rule."""

    def __init__(self, rule):
        self.rule, self.asked = rule, []

    def about(self):
        return {"teacher": "wordy"}

    def write(self, asked, usual_tokens):
        self.asked += [example.prompt[0]["content"] for example in asked]
        return [self.rule(example.prompt[0]["content"].split("\n\n", 1)[1]) for example in asked]


def paraphrased(rows, rule, sides=None, **given):
    teacher = Wordy(rule)
    context = StepContext(build(ParaphraseSettings, given), DataSettings(), ChangeLog(), 1, teacher)
    return Paraphrase().apply({"train": rows, **(sides or {})}, context), context, teacher


def test_paraphrases_are_asked_checked_and_marked():
    def rule(text):
        number = text.split()[-1]
        if number == "3":
            return Written("", "it was cut at 256 tokens")
        return Written(f'"how beautiful the early hours of that day felt, number {number}"')

    sides, context, teacher = paraphrased(TONE, rule, paraphrase=1)
    added = list(sides["train"])[20:]
    assert len(teacher.asked) == 20 and len(added) == 19
    assert added[0].columns["text"] == "how beautiful the early hours of that day felt, number 0"
    assert added[0].columns[PROVENANCE]["teacher"] == "wordy" and added[0].columns["label"] == "good"
    assert context.log.counts["paraphrase"] == {"added": 19, "dropped": 1}
    again, _, teacher = paraphrased(list(sides["train"]), rule, paraphrase=1)
    assert list(again["train"]) == list(sides["train"])
    assert len(teacher.asked) == 1  # the one that was left out


def test_paraphrases_of_judged_texts_and_repeated_ones_are_left_out():
    judged = made({"text": "How beautiful that day was!", "label": "good"})
    sides, _, _ = paraphrased(
        made(TONE[0].columns | {"text": "what a day"}),
        lambda t: Written("how beautiful that day was"),
        {"eval": judged},
    )
    assert len(sides["train"]) == 1
    sides, _, _ = paraphrased(TONE, lambda text: Written("the same for all"), paraphrase=2)
    assert len(sides["train"]) == 20


@pytest.mark.parametrize(
    ("source", "text", "why"),
    [
        ("we met at noon in the old town", "", "empty"),
        ("we met at noon in the old town", "noon", "letters"),
        ("we met at noon in the old town", "We met at noon, in the old town!", "nearly the same"),
        ("we met at 12 in the old town", "at 2 the two of us met downtown", "numbers"),
        ("we met Anna in the old town", "we ran into somebody downtown", "'anna'"),
        (
            "we met at noon in the old town center and stayed there until the last train went home",
            "wir trafen uns mittags in der alten Innenstadt und blieben dort bis zum letzten Zug nach Hause",
            "language",
        ),
        ("we met at noon in the old town center", "at midday the two of us came together downtown", ""),
    ],
)
def test_what_is_no_paraphrase_is_told(source, text, why):
    found = fault(source, text, frozenset({"anna"}))
    assert why in found and bool(why) == bool(found)


def test_without_a_teacher_nothing_is_paraphrased():
    context = StepContext(build(ParaphraseSettings, {"paraphrase": 1}), DataSettings())
    with pytest.raises(InputError, match="no model is given"):
        Paraphrase().apply({"train": TONE}, context)


def test_paraphrases_that_are_nearly_another_rows_text_or_a_judged_one_are_left_out():
    rows = made(
        *(
            {"text": text, "label": "x"}
            for text in (
                "the train to Berlin was late again, so we missed the first part of the concert",
                "a quiet evening at home with a book and a warm cup of tea on the table",
            )
        )
    )
    said = iter(
        [
            "Such a quiet evening at home with a book and a warm cup of tea on the table",
            "reading on the sofa while it rained, all calm, until it was time to go to sleep",
        ]
    )
    judged = made({"text": "Reading on the sofa while it rained, all calm, until it was time to sleep", "label": "x"})
    sides, context, _ = paraphrased(rows, lambda text: Written(next(said)), {"eval": judged})
    assert len(sides["train"]) == 2
    whys = [change.why for change in context.log.changes]
    assert "nearly the text of another row" in whys[0] and "evaluation row" in whys[1]


def test_the_data_doctor_does_not_take_copies_for_rows_of_their_own():
    rows = list(augmented(TONE, augment="typos", augment_copies=3)[0]["train"])
    examples = to_examples(rows, recognize(rows, DataSettings()))
    assert len(examples) == 80 and [example.origin for example in examples.originals()] == [row.origin for row in TONE]
    data = CheckedData(Side("train", rows, examples), labels=["bad", "good"])
    assert not [finding for finding in run_checks(data, ["near_duplicates"]) if len(finding.rows) > 20]
    assert len(ClassRows.of(examples, 1).texts) == 20
