"""Rows longer than the limit: few are dropped, many are an error or raise it, and what was done is said."""

import json
import re

import pytest

from graft.errors import InputError
from graft.planning.plan import plan_run
from graft.planning.preview import preview, print_preview
from graft.planning.settings import finetune_settings
from tiny_models import tiny_model_folder


@pytest.fixture
def planned(checked_models, tmp_path):
    def run(rows, model="llama", held_out=None, **settings):
        for name, listed in (("rows", rows), ("held", held_out or [])):
            text = "".join(json.dumps(row) + "\n" for row in listed)
            (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
        given = {
            "model_name_or_path": str(checked_models[model]),
            "data_files": str(tmp_path / "rows.jsonl"),
            **settings,
        }
        if held_out:
            given["eval_data_files"] = str(tmp_path / "held.jsonl")
        return plan_run(finetune_settings(given))

    return run


def rows(count, long=(), length=100):
    """Prompts with answers; those whose number is in ``long`` have one of ``length`` letters "a", each a token."""
    return [{"prompt": f"p{n}", "completion": "a" * length + str(n) if n in long else f"c{n}"} for n in range(count)]


def lines(plan):
    return {example.origin.line for example in [*plan.data.train, *plan.data.eval]}


def longest(plan):
    return max(len(row.input_ids) for row in [*plan.rows, *plan.held_out])


def test_a_few_long_rows_are_dropped_and_named(planned):
    plan = planned(rows(300, {6, 70}), max_length=60)
    assert lines(plan) == set(range(1, 301)) - {7, 71} and longest(plan) <= 60
    assert len(plan.rows) == len(plan.data.train) and len(plan.held_out) == len(plan.data.eval)
    for examples, tokens in ((plan.data.train, plan.rows), (plan.data.eval, plan.held_out)):
        assert [example.origin for example in examples] == [row.origin for row in tokens]
    assert plan.data.summary["dropped"] == 2 and plan.data.summary["truncated"] == 0
    (said,) = plan.data.summary["warnings"]
    assert said.startswith("2 of 300 rows dropped, longer than --max_length 60: ")
    assert "rows.jsonl:7, 71" in said and "holds all of them" in said


def named_limit(said):
    """The number after --max_length that is said to hold all rows."""
    (number,) = re.findall(r"--max_length (\d+) holds all", said)
    return int(number)


def refusal(*arguments, **settings):
    with pytest.raises(InputError) as caught:
        arguments[0](*arguments[1:], **settings)
    return str(caught.value)


def warnings(plan):
    return " | ".join(plan.data.summary["warnings"])


def test_many_long_rows_are_an_error_that_names_the_limit_that_holds_all(planned):
    given = rows(100, {4, 6})
    said = refusal(planned, given, max_length=60)
    assert "2 of 100 rows are longer than --max_length 60: " in said and "rows.jsonl:5, 7; the longest has" in said
    assert "--on_long drop" in said and "--on_long truncate" in said
    limit = named_limit(said)
    whole = planned(given, max_length=limit)
    assert longest(whole) == limit and len(lines(whole)) == 100 and whole.data.summary["warnings"] == []
    assert named_limit(refusal(planned, given, max_length=limit - 1)) == limit


def test_one_percent_is_not_few(planned):
    assert "1 of 100 rows is longer" in refusal(planned, rows(100, {4}), max_length=60)
    assert len(lines(planned(rows(101, {4}), max_length=60))) == 100


@pytest.mark.parametrize("word", ["error", "raise"])
def test_a_single_long_row_is_an_error_where_the_user_says_so(planned, word):
    assert "1 of 300 rows is longer" in refusal(planned, rows(300, {4}), max_length=60, excess_length_strategy=word)
    assert len(lines(planned(rows(300), max_length=60, on_long=word))) == 300


def test_many_long_rows_are_dropped_where_the_user_says_so(planned):
    plan = planned(rows(40, range(20)), max_length=60, on_long="drop")
    assert lines(plan) == set(range(21, 41)) and plan.data.summary["dropped"] == 20
    assert "20 of 40 rows dropped" in warnings(plan) and "held out, so not judged" in warnings(plan)


def test_rows_are_truncated_where_the_user_says_so_but_one_without_an_answer_left_is_dropped(planned):
    given = [*rows(40, range(20)), {"prompt": "long " * 50, "completion": "gone"}]
    plan = planned(given, max_length=60, on_long="truncate")
    assert lines(plan) == set(range(1, 41)) and longest(plan) == 60
    assert (plan.data.summary["dropped"], plan.data.summary["truncated"]) == (1, 20)
    dropped, truncated = plan.data.summary["warnings"]
    assert "1 of 41 rows dropped" in dropped and "rows.jsonl:41" in dropped
    assert "20 of 41 rows truncated to --max_length 60" in truncated and "% of all tokens" in truncated


def test_rows_that_are_all_too_long_are_an_error_whatever_is_asked_for(planned):
    given = rows(40, range(40))
    assert "40 of 40 rows are longer" in refusal(planned, given, max_length=60)
    assert "no rows are left to train on or to hold out" in refusal(planned, given, max_length=60, on_long="drop")
    given = [{"prompt": f"{n} " + "long " * 50, "completion": f"gone {n}"} for n in range(40)]
    assert "no rows are left" in refusal(planned, given, max_length=60, on_long="truncate")


def test_held_out_rows_that_are_too_long_are_not_judged(planned):
    plan = planned(rows(400), held_out=rows(20, {3}), max_length=60)
    assert len(plan.data.eval) == len(plan.held_out) == 19 and len(plan.data.train) == 400
    assert "1 of 420 rows dropped" in warnings(plan) and "held.jsonl:4; 1 of them held out, so not judged" in warnings(
        plan
    )
    said = refusal(planned, rows(400), held_out=rows(2, {0, 1}), max_length=60)
    assert "2 of 402 rows are longer" in said and "no rows are left to hold out" in said


@pytest.fixture
def wide(checked_models):
    return str(checked_models["wide"])


def test_a_limit_that_is_not_the_users_is_raised_up_to_what_the_model_reads(planned, wide):
    plan = planned(rows(40, {3}, 2000), model_name_or_path=wide)
    (said,) = [setting for setting in plan.inferred if setting.name == "max_length"]
    assert said.value == plan.encoding.max_length == longest(plan) > 2000 and len(lines(plan)) == 40
    assert said.why == "1 of 40 rows have more than 1,024 tokens" and plan.data.summary["warnings"] == []


def test_a_few_rows_do_not_raise_the_limit(planned, wide):
    plan = planned(rows(300, {3}, 2000), model_name_or_path=wide)
    assert plan.encoding.max_length == 1024 and lines(plan) == set(range(1, 301)) - {4}
    assert "longer than the default limit of 1,024 tokens" in warnings(plan) and named_limit(warnings(plan)) > 2000


def test_the_limit_is_raised_where_the_few_rows_that_it_does_not_hold_can_be_dropped(planned, wide):
    given = [*rows(300, set(range(10)), 2000), {"prompt": "endless", "completion": "a" * 9000}]
    plan = planned(given, model_name_or_path=wide)
    assert lines(plan) == set(range(1, 301)) and 2000 < plan.encoding.max_length == longest(plan) < 4096
    assert "1 of 301 rows dropped" in warnings(plan) and "made for at most 4,096" in warnings(plan)


def test_rows_that_the_model_does_not_read_are_an_error(planned, wide):
    said = refusal(planned, rows(40, {3}, 9000), model_name_or_path=wide)
    assert "1 of 40 rows is longer than the default limit of 1,024 tokens" in said
    assert named_limit(said) > 9000 and "holds all of them, but the model was made for at most 4,096" in said


def test_a_model_with_a_table_of_positions_reads_no_more(planned, tmp_path_factory):
    """Where others read beyond their limit, less well, it would fail in the middle of the training."""
    gpt2 = str(tiny_model_folder(tmp_path_factory.mktemp("gpt2"), "gpt2"))
    assert "accepts at most 512 tokens, not 513" in refusal(planned, rows(40), model_name_or_path=gpt2, max_length=513)
    said = refusal(planned, rows(40, {3}, 600), model_name_or_path=gpt2)
    assert "the model accepts at most 512; --on_long drop" in said
    given = {"model_name_or_path": gpt2, "max_length": 200, "on_long": "truncate"}
    plan = planned(rows(40), held_out=[*rows(20, {3}, 300), *rows(20, {5}, 600)], **given)
    assert [row.origin.line for row in plan.held_out if row.cut] == [4] and len(plan.data.eval) == 39


def test_other_answers_of_a_long_conversation_are_kept(planned):
    def talk(n, last):
        turns = [("user", f"q{n}"), ("assistant", f"a{n}"), ("user", "more"), ("assistant", last)]
        return {"messages": [{"role": role, "content": content} for role, content in turns]}

    plan = planned([talk(n, "a" * (300 if n == 8 else 3)) for n in range(150)], max_length=120)
    assert len(plan.rows) + len(plan.held_out) == 299 and len(lines(plan)) == 150
    assert "1 of 150 rows dropped" in warnings(plan) and "of 1, the other answers are kept" in warnings(plan)


def test_plain_text_is_truncated_and_said(planned):
    given = [{"text": f"{n} " + "a" * (300 if n < 20 else 3)} for n in range(40)]
    plan = planned(given, max_length=60)
    assert len(lines(plan)) == 40 and longest(plan) == 60 and plan.data.summary["truncated"] == 20
    assert "20 of 40 rows truncated to --max_length 60" in warnings(plan)
    assert len(lines(planned(given, max_length=60, on_long="drop"))) == 20
    assert "20 of 40 rows are longer" in refusal(planned, given, max_length=60, on_long="error")


LONG = {
    "text-classification": lambda n, words: {"text": f"good {words}{n}", "label": "ab"[n % 2]},
    "token-classification": lambda n, words: {
        "tokens": f"good {words}{n}".split(),
        "tags": ["O", *"X" * len(words.split()), "O"],
    },
    "feature-extraction": lambda n, words: {"sentence1": f"cake {n}", "sentence2": f"good {words}{n}", "label": n % 2},
}


@pytest.mark.parametrize("task", LONG)
def test_what_a_head_reads_is_truncated_and_said(planned, task):
    """As is usual; the limit that is named holds all."""
    given = [LONG[task](n, "cake " * (12 if n < 5 else 1)) for n in range(40)]
    settings = {"model": "bert", "task": task, "max_length": 14}
    plan = planned(given, **settings)
    assert len(lines(plan)) == 40 and plan.data.summary["truncated"] == 5
    assert "5 of 40 rows truncated to --max_length 14" in warnings(plan)
    assert len(lines(planned(given, **settings, on_long="drop"))) == 35
    limit = named_limit(refusal(planned, given, **settings, on_long="error"))
    assert planned(given, **settings | {"max_length": limit}, on_long="error").data.summary["truncated"] == 0
    assert refusal(planned, given, **settings | {"max_length": limit - 1}, on_long="error")


def test_a_source_is_truncated_and_a_target_is_not(planned):
    def row(n, source, target):
        return {"text": "the good day " * source + str(n), "summary": "day " * target + str(n)}

    given = [row(n, 30 if n < 9 else 1, 30 if n == 20 else 1) for n in range(150)]
    plan = planned(given, "t5", max_length=60)
    assert lines(plan) == set(range(1, 151)) - {21}
    assert (plan.data.summary["dropped"], plan.data.summary["truncated"]) == (1, 9)
    assert "1 of 40 rows is longer" in refusal(planned, given[:40], "t5", max_length=60)
    assert longest(planned(given[:40], "t5", max_length=60, on_long="truncate")) <= 120


def test_labels_are_counted_without_what_was_dropped(planned):
    given = [{"text": f"t{n} " + "a" * (400 if n in (6, 9) else 3), "label": "ab"[n % 2]} for n in range(300)]
    plan = planned(given, max_length=250)
    assert plan.data.summary["dropped"] == 2
    assert sum(plan.data.summary["labels"].values()) == len(plan.data.train) == len(plan.rows)


def test_what_was_done_is_shown_in_the_plan(planned, capsys):
    plan = planned(rows(300, {6}), max_length=60)
    print_preview(plan)
    assert "warning    1 of 300 rows dropped" in capsys.readouterr().out
    assert preview(plan)["data"]["dropped"] == 1
