"""Preferences are recognized, refused, and trained on their good answers where that is asked for."""

import pytest

from data_rows import examples_of
from graft.errors import InputError

USER = {"role": "user", "content": "q"}
GOOD = {"role": "assistant", "content": "good"}
BAD = {"role": "assistant", "content": "bad"}
HUMAN = {"from": "human", "value": "q"}
PAIR = {"chosen": "good", "rejected": "bad"}
FORMS = [
    {"prompt": "q", **PAIR},
    {"prompt": "q", "chosen": [GOOD], "rejected": [BAD]},
    {"prompt": "q", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
    {"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
    {"chosen": "\n\nHuman: q\n\nAssistant: good", "rejected": "\n\nHuman: q\n\nAssistant: bad"},
    {"instruction": "q", "input": "", **PAIR},
    {"question": "q", **PAIR},
    {"prompt": "q", "completion": "bad", **PAIR},
    {"conversations": [HUMAN], "chosen": {"from": "gpt", "value": "good"}, "rejected": {"from": "gpt", "value": "bad"}},
    {"messages": [USER], "chosen": GOOD, "rejected": BAD},
    {"input": {"messages": [USER]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
    {"prompt": "q", "response": "good", "rejected_response": "bad"},
]
KTO = [
    ({"prompt": "q", "completion": "good", "label": True}, {"prompt": "q", "completion": "bad", "label": False}),
    ({"prompt": "q", "completion": "good", "label": 1}, {"prompt": "q", "completion": "bad", "label": 0}),
    ({"prompt": "q", "completion": "good", "label": "True"}, {"prompt": "q", "completion": "bad", "label": "False"}),
    ({"messages": [USER, GOOD], "label": True}, {"messages": [USER, BAD], "label": False}),
    ({"conversations": [USER, GOOD], "kto_tag": True}, {"conversations": [USER, BAD], "kto_tag": False}),
    ({"question": "q", "answer": "good", "label": 1}, {"question": "q", "answer": "bad", "label": 0}),
    ({"question": "q", "answer": "good", "is_correct": 1}, {"question": "q", "answer": "bad", "is_correct": 0}),
    ({"prompt": "q", "response": "good", "accepted": True}, {"prompt": "q", "response": "bad", "accepted": False}),
    ({"instruction": "q", "output": "good", "kto_tag": True}, {"instruction": "q", "output": "bad", "kto_tag": False}),
]


@pytest.mark.parametrize("row", FORMS)
def test_pairs_are_refused_and_their_chosen_answers_trained_if_asked(row):
    with pytest.raises(InputError, match=r"^rows\.jsonl:1: these rows are preferences \(") as caught:
        examples_of(row, row)
    (problem,) = caught.value.problems
    assert "--column_mapping chosen" in problem.remedy and "reject" not in problem.remedy
    mapping, found = examples_of({**row, "id": 3}, column_mapping="chosen")
    assert [(list(example.prompt), example.completion) for example in found] == [([USER], "good")]
    named = [line.value for line in mapping.notes.lines() if line.name == "columns_not_read"]
    assert named == [[*(["completion"] if "completion" in row else []), "id"]]
    assert ("answers", "chosen") in [(line.name, line.value) for line in mapping.inferred]


@pytest.mark.parametrize("rows", KTO)
def test_verdicts_are_refused_and_good_answers_trained_if_asked(rows):
    with pytest.raises(InputError, match="says which answers are good") as caught:
        examples_of(*rows)
    assert "--column_mapping chosen" in str(caught.value)
    mapping, found = examples_of(*rows, column_mapping="chosen")
    assert [(list(example.prompt), example.completion) for example in found] == [([USER], "good")]
    assert [(line.name, line.value) for line in mapping.notes.lines()] == [("rows_not_preferred", 1)]
    assert not [line for line in mapping.inferred if line.value == "label"]


def test_templates_do_not_hide_a_verdict():
    with pytest.raises(InputError, match="label says which answers are good"):
        examples_of(*KTO[0], prompt_template="{prompt}", completion_template="{completion}")
    with pytest.raises(InputError, match="label says which answers are good"):
        examples_of(*KTO[0], text_template="{prompt} {completion}")
    _, found = examples_of(FORMS[0], prompt_template="{prompt}", completion_template="{chosen}")
    assert found[0].completion == "good"


def test_only_turns_that_the_rejected_answer_lacks_are_trained():
    shared = [USER, {"role": "assistant", "content": "both"}, {"role": "user", "content": "and?"}]
    row = {"chosen": [*shared, GOOD], "rejected": [*shared, BAD], "system": "S"}
    _, found = examples_of(row, column_mapping="chosen")
    assert [example.completion for example in found] == ["good"] and len(found[0].prompt) == 4


def test_rows_with_rejected_answers_alone_and_of_unknown_columns():
    with pytest.raises(InputError, match="add the good answers, as the column chosen"):
        examples_of({"prompt": "q", "rejected": "bad"})
    with pytest.raises(InputError) as caught:
        examples_of({"frage": "q", "rejected": "bad", "chosen": "good"})
    assert '--prompt_template "{frage}" --completion_template "{chosen}"' in str(caught.value)


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "response_j": "good", "response_k": "bad", "qid": 1},
        {"prompt": "q", "good": "good", "bad": "bad"},
        {"prompt": "q", "wrong_answer": "bad"},
    ],
)
def test_no_answer_is_proposed_that_may_be_a_bad_one(row):
    with pytest.raises(InputError, match="not recognized") as caught:
        examples_of(row)
    assert '--completion_template "{COLUMN}"' in str(caught.value)


def test_a_copy_of_the_chosen_conversation_is_not_lost():
    """As in UltraFeedback."""
    turns = [USER, GOOD]
    row = {"prompt": "q", "chosen": turns, "rejected": [USER, BAD], "messages": turns, "score_chosen": 8.5}
    mapping, found = examples_of(row, column_mapping="chosen")
    assert found[0].completion == "good" and mapping.notes.lines()[0].value == ["score_chosen"]
    with pytest.raises(InputError, match="the column 'messages' would be lost"):
        examples_of({**row, "messages": [USER, BAD]}, column_mapping="chosen")


def test_what_is_no_preference():
    mapping, _ = examples_of({"prompt": "q", "chosen": "good", "rejected": None})
    assert mapping.kind == "prompt/chosen"
    mapping, found = examples_of({"prompt": "q", "chosen": "good"})
    assert mapping.kind == "prompt/chosen" and found[0].completion == "good"
    mapping, _ = examples_of(*[{"text": f"t{n}", "label": bool(n % 2)} for n in range(4)])
    assert mapping.kind == "text/label" and mapping.labels == ["false", "true"]
    mapping, _ = examples_of({"input": "i", "label": True}, {"input": "j", "label": False})
    assert mapping.kind == "input/label"
    mapping, found = examples_of({"prompt": [USER], "answer": "3"})
    assert mapping.kind == "prompt/answer" and found[0].completion == "3"


def test_the_mapping_needs_something_to_choose():
    with pytest.raises(InputError, match="not recognized: prompt, completion"):
        examples_of({"prompt": "q", "completion": "a"}, column_mapping="chosen")
    with pytest.raises(InputError, match="no row has an answer that is trained"):
        examples_of(KTO[0][1], column_mapping="chosen")
