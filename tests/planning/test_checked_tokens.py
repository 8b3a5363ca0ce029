"""The rows of the data doctor as a model sees them: as ``graft finetune`` tokenizes them, and nothing raised."""

import json

import numpy as np
import pytest

from checked_rows import found, lines
from graft.data.tokenize import TokenizedExample
from graft.errors import InputError
from graft.planning.plan import plan_run
from graft.planning.settings import finetune_settings
from small_runs import tune
from tiny_models import CHATML, tiny_model_folder

STRICT = "{% if messages[0]['content'] == 'bad' %}{{ raise_exception('no bad') }}{% endif %}" + CHATML
"""Refuses a conversation that begins with "bad"."""


def answered(count, long=(), length=100):
    return [{"prompt": f"p{n}", "completion": "a" * length + str(n) if n in long else f"c{n}"} for n in range(count)]


def conversation(*contents):
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(contents)]}


ROWS = {
    "llama": [{"prompt": f"p{n}", "completion": f"c{n}"} for n in range(30)],
    "bert": [{"text": f"good cake {n}", "label": "ab"[n % 2]} for n in range(30)],
    "t5": [{"text": f"the good day {n}", "summary": f"day {n}"} for n in range(30)],
}


@pytest.mark.parametrize("model", ROWS)
def test_rows_are_tokenized_as_they_are_trained(diagnosed, checked_models, tmp_path, model):
    tokens = diagnosed(ROWS[model], model).data.tokens
    settings = {"model_name_or_path": str(checked_models[model]), "data_files": str(tmp_path / "rows.jsonl")}
    plan = plan_run(finetune_settings(settings))
    trained = {row.origin.line: row for row in [*plan.rows, *plan.held_out]}
    (side,) = tokens.sides
    assert {row.origin.line: row for row in side.rows} == trained and len(trained) == 30
    assert (tokens.max_length, tokens.generates) == (plan.encoding.max_length, model != "bert")


def test_the_limit_that_holds_all_and_the_one_that_holds_most(diagnosed, checked_models, tmp_path):
    rows = answered(300, {7})
    (note,) = found(diagnosed(rows), "lengths")
    longest, most = note.figures["holds_all"], note.figures["holds_99"]
    assert note.severity == "note" and sum(note.figures["histogram"]["counts"]) == 300
    assert note.figures["lost_by_99"] == 1 and most < 40 < 100 < longest
    settings = {"model_name_or_path": str(checked_models["llama"]), "data_files": str(tmp_path / "rows.jsonl")}
    whole = plan_run(finetune_settings({**settings, "max_length": longest, "on_long": "error"}))
    assert len(whole.rows) + len(whole.held_out) == 300
    with pytest.raises(InputError, match="1 of 300 rows is longer"):
        plan_run(finetune_settings({**settings, "max_length": longest - 1, "on_long": "error"}))


def test_answers_that_are_cut_are_as_grave_as_training_takes_them(diagnosed):
    (few,) = found(diagnosed(answered(300, {7}), max_length=60), "answer_cut")
    assert few.severity == "warning" and lines(few) == [8] and "omits them" in few.why
    (many,) = found(diagnosed(answered(100, {4, 6}), max_length=60), "answer_cut")
    assert many.severity == "error" and lines(many) == [5, 7] and "refuses them" in many.why
    assert many.title == "2 of 100 rows are longer than 60 tokens: the cut falls in the answer"
    assert many.fix == f"--max_length {many.figures['longest']}" and many.fix in many.remedy
    (asked,) = found(diagnosed(answered(100, {4, 6}), max_length=60, on_long="drop"), "answer_cut")
    assert asked.severity == "warning" and "as --on_long says" in asked.why
    (raised,) = found(diagnosed(answered(40, {3}, 2000), "wide"), "answer_cut")
    assert raised.severity == "note" and f"raises its limit to {raised.figures['longest']:,}" in raised.why


def test_texts_that_are_cut_and_rows_beyond_the_model(diagnosed):
    texts = [{"text": f"{n} " + "a" * (300 if n < 20 else 3)} for n in range(40)]
    (cut,) = found(diagnosed(texts, max_length=60), "long_rows")
    assert cut.severity == "warning" and len(cut.rows) == 20 and "truncates them" in cut.why
    (beyond,) = found(diagnosed(answered(40, {3}, 900), max_length=2000), "longer_than_model")
    assert beyond.severity == "warning" and lines(beyond) == [4] and "512 tokens" in beyond.why
    (grave,) = found(diagnosed(answered(40, {3}, 900)), "answer_cut")
    assert "was made for at most 512" in grave.remedy and grave.fix == "--on_long drop"


def test_each_of_two_texts_has_the_limit_of_its_own(diagnosed):
    rows = [{"text": "the good day " * 8 + str(n), "summary": "day " * (20 if n == 3 else 1)} for n in range(30)]
    diagnosis = diagnosed(rows, "t5", max_length=300)
    (note,) = found(diagnosis, "lengths")
    side = diagnosis.data.tokens.sides[0]
    assert note.figures["holds_all"] == side.needed.max() < side.rows.lengths.max()
    assert not found(diagnosed(rows, "t5", max_length=note.figures["holds_all"]), "long_rows")
    assert found(diagnosed(rows, "t5", max_length=note.figures["holds_all"] - 1), "long_rows")


def test_a_conversation_is_one_row_and_its_longest_answer_counts(diagnosed):
    rows = [conversation(f"q{n}", f"a{n}", "more", "b" * (300 if n == 8 else 3)) for n in range(150)]
    diagnosis = diagnosed(rows, max_length=120)
    (cut,) = found(diagnosis, "answer_cut")
    assert lines(cut) == [9] and "1 of 150 rows is longer" in cut.title and cut.severity == "warning"
    assert found(diagnosis, "lengths")[0].title.startswith("150 rows have ")


def test_rows_that_the_template_refuses_are_found_and_the_others_are_there(diagnosed, tmp_path):
    template = tmp_path / "strict.jinja"
    template.write_text(STRICT, encoding="utf-8")
    rows = [conversation("q", "a"), conversation("bad", "a", "more", "b"), conversation("q2", "a2", "q3", "a3")]
    diagnosis = diagnosed(rows, chat_template=str(template))
    (refused,) = found(diagnosis, "refused_by_template")
    assert (
        refused.severity == "error"
        and lines(refused) == [2]
        and "1 rows" not in refused.title
        and "no bad" in refused.evidence[0]
    )
    assert [row.origin.line for row in diagnosis.data.tokens.sides[0].rows] == [1, 3, 3]


def test_rows_without_a_trained_token_and_answers_that_do_not_end(diagnosed, checked_models, tmp_path_factory):
    def edited(**changes):
        path = tiny_model_folder(tmp_path_factory.mktemp("edited"), chat_template=None)
        file = path / "tokenizer_config.json"
        settings = {**json.loads(file.read_text(encoding="utf-8")), **changes}
        file.write_text(json.dumps(settings), encoding="utf-8")
        return str(path)

    rows = [{"text": f"text {n}"} for n in range(20)]
    assert not found(diagnosed(rows), "no_end_token")
    diagnosis = diagnosed(rows, model_name_or_path=edited(eos_token=None))
    (endless,) = found(diagnosis, "no_end_token")
    assert endless.severity == "error" and len(endless.rows) == 20 and "100%" in endless.why
    (empty,) = found(diagnosed([*rows, {"text": "a"}], model_name_or_path=edited(eos_token=None)), "no_trained_token")
    assert lines(empty) == [21]


def test_a_template_that_ends_no_answer_is_said(diagnosed):
    plain = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    rows = answered(20)
    diagnosis = diagnosed(rows, chat_template=plain)
    assert [finding.severity for finding in found(diagnosis, "template_without_end")] == ["note"]
    assert not found(diagnosis, "no_end_token") and not found(diagnosed(rows), "template_without_end")


def test_what_hinders_the_training_as_a_whole_is_a_finding(diagnosed):
    rows = [{"text": f"good {n}", "label": "a"} for n in range(20)]
    diagnosis = diagnosed(rows, "bert", checks="unreadable,lengths")
    assert diagnosis.data.tokens is None and "classes" in diagnosis.findings[0].title
    with pytest.raises(InputError, match="does not exist"):
        diagnosed(rows, model_name_or_path="nowhere/")


def test_without_a_model_nothing_is_known_of_tokens(diagnosed):
    diagnosis = diagnosed(answered(20), model=None)
    assert diagnosis.data.tokens is None and diagnosis.findings == []


def test_counts_over_tokens_follow_what_is_taken_of_a_table():
    from graft.data.example import Origin
    from graft.data.token_table import TokenTable

    rows = [TokenizedExample(ids, 1, Origin("f", n)) for n, ids in enumerate([[1, 2, 2], [], [3, 2], [2, 2, 2, 4]])]
    table = TokenTable(rows)
    two = np.arange(5) == 2
    assert table.counts(two).tolist() == [2, 0, 1, 3] and table.last_tokens.tolist() == [2, -1, 2, 4]
    part = table.take(np.array([False, True, True, True]))
    assert part.counts(two).tolist() == [0, 1, 3] and part.last_tokens.tolist() == [-1, 2, 4]
    assert table.used_tokens().tolist() == [1, 2, 3, 4]
    assert [origin.line for origin in part.located(np.array([True, False, True]))] == [1, 3]


def test_a_run_is_read_as_training_would_continue_from_it(diagnosed, checked_models, tmp_path):
    rows = [{"text": f"{text} {n}", "label": text[:4]} for n in range(30) for text in ("fine day", "poor work")]
    plain = diagnosed(rows).data.tokens.sides[0].rows
    run = tune(checked_models["llama"], tmp_path / "rows.jsonl", tmp_path / "run", max_steps=1, instruction="Say it.")
    tokens = diagnosed(rows, model_name_or_path=str(run)).data.tokens
    assert "Say it.\n\nfine day 0" in tokens.preview(tokens.sides[0].rows[0])[0]
    assert tokens.sides[0].rows[0].input_ids != plain[0].input_ids


def test_of_preferences_the_good_answers_are_tokenized(diagnosed):
    diagnosis = diagnosed(
        [{"prompt": f"p{n}", "chosen": f"c{n}", "rejected": "r"} for n in range(20)], checks="lengths"
    )
    tokens = diagnosis.data.tokens
    assert tokens.preview(tokens.sides[0].rows[3])[1] == "c3<|im_end|>" and diagnosis.data.preferences is not None
