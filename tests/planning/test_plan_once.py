"""Planning reads the rows once, and keeps them compactly."""

import json
import pickle
import random
from collections import Counter

import numpy as np
import pytest

from graft.data.chat_template import Renderer
from graft.data.example import Origin
from graft.data.spool import BYTES_IN_MEMORY, ITEMS_A_PART, Joined, Spool, View
from graft.data.token_table import ROWS_A_BATCH, TokenTable, row_lengths
from graft.data.tokenize import TokenizedExample, encode, prompt_ids, text_ids
from graft.errors import InputError
from graft.planning.plan import plan_run
from graft.planning.settings import finetune_settings
from tiny_models import tiny_model_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def given(model, tmp_path):
    def settings(rows, **more):
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return {"model_name_or_path": str(model), "data_files": str(file), **more}

    return settings


def conversations(count):
    """Of one to three turns, some with a system message, answers that repeat, and one that is long."""
    chance = random.Random(0)
    for number in range(count):
        turns = [{"role": "system", "content": "One word."}] if number % 3 else []
        for turn in range(1 + number % 3):
            turns.append({"role": "user", "content": f"tone of {number} {turn}" + " rain" * chance.randrange(5)})
            turns.append({"role": "assistant", "content": chance.choice(["good", "bad", f"so {number}", "a" * 99])})
        yield {"messages": turns}


def test_rows_in_batches_are_the_rows_one_by_one(given):
    """Prompt and completion are tokenized apart and joined, in every row as if it were alone."""
    plan = plan_run(finetune_settings(given(conversations(40), max_length=250)))
    renderer = Renderer(plan.tokenizer)
    for examples, rows in ((plan.data.train, plan.rows), (plan.data.eval, plan.held_out)):
        assert len(examples) == len(rows) > 4
        for example, row in zip(examples, rows, strict=True):
            text = renderer.render(example)
            prompt = prompt_ids(plan.tokenizer, text.prompt)
            whole = prompt + text_ids(plan.tokenizer, text.completion)
            assert row == encode(example, renderer, 250)
            assert row.input_ids == whole[:250] and row.prompt_length == min(250, len(prompt))
            assert row.cut == max(0, len(whole) - 250) and row.origin == example.origin


def test_what_is_wrong_with_the_settings_the_rows_and_the_model_is_said_together(given, tmp_path):
    rows = [*({"prompt": f"p{n}", "completion": "c"} for n in range(9)), {"prompt": "p", "completion": " "}]
    settings = given(rows, model_name_or_path=str(tmp_path / "nowhere"), lr_scheduler_type="steps")
    with pytest.raises(InputError) as caught:
        plan_run(finetune_settings(settings))
    said = str(caught.value)
    assert "rows.jsonl:10: the answer is empty" in said and "nowhere" in said and "'steps'" in said


def test_a_tasks_own_refusal_of_the_rows_is_said_with_the_models(given):
    rows = [{"tokens": ["a", "b"], "tags": ["x"] * (1 + (n != 5))} for n in range(12)]
    with pytest.raises(InputError) as caught:
        plan_run(finetune_settings(given(rows, task="token-classification", max_length=10**6)))
    assert "rows.jsonl:6: tokens and tags must be lists of the same length" in str(caught.value)


def row(number, target=None):
    return TokenizedExample(
        list(range(number % 9 + 1)), number % 3, Origin(f"f{number % 2}", number), number % 4, target
    )


@pytest.mark.parametrize(
    "target", [lambda n: None, lambda n: n % 2, lambda n: [0.0, 1.0, n / 3], lambda n: [-100, n], lambda n: n / 7]
)
def test_a_token_table_gives_the_rows_back(target):
    rows = [row(number, target(number)) for number in range(2 * ROWS_A_BATCH + 17)]
    table = TokenTable(iter(rows))
    assert list(table) == rows and len(table) == len(rows)
    assert table[0] == rows[0] and table[-1] == rows[-1] and table[ROWS_A_BATCH] == rows[ROWS_A_BATCH]
    assert list(table[5:9]) == rows[5:9] and table.has_targets == (target(1) is not None)
    assert row_lengths(table).tolist() == row_lengths(rows).tolist()
    assert table.cut.tolist() == [one.cut for one in rows]
    assert list(pickle.loads(pickle.dumps(table))) == rows  # as for the workers of a data loader


def test_a_token_table_of_nothing_and_one_that_is_larger_than_memory_allows():
    assert len(TokenTable([])) == 0 and list(TokenTable([])) == []
    wide = [TokenizedExample([number] * 2000, 1, Origin("f", number)) for number in range(BYTES_IN_MEMORY // 8000 + 50)]
    table = TokenTable(wide)
    assert np.array_equal(table.lengths, np.full(len(wide), 2000))
    assert table[len(wide) - 1] == wide[-1] and table[3] == wide[3]


def test_a_spool_is_the_sequence_that_was_written():
    items = [{"n": number, "text": "x" * (number % 50)} for number in range(5 * ITEMS_A_PART + 3)]
    spool = Spool(items)
    assert list(spool) == items and len(spool) == len(items)
    assert spool[0] == items[0] and spool[-1] == items[-1] and spool[ITEMS_A_PART] == items[ITEMS_A_PART]
    assert list(spool[300:7:-3]) == items[300:7:-3] and list(spool[10:20][2:4]) == items[12:14]
    with pytest.raises(IndexError):
        spool[len(items)]
    joined = Joined([spool[:3], spool[-2:]])
    assert list(joined) == [*items[:3], *items[-2:]] == [joined[index] for index in range(5)]
    assert list(View(spool, [4, 2])) == [items[4], items[2]]


def test_a_spool_larger_than_memory_allows_is_in_a_file():
    spool = Spool(bytes(1 << 16) + number.to_bytes(4, "big") for number in range(600))
    assert len(spool) == 600 and [int.from_bytes(item[-4:], "big") for item in spool] == list(range(600))
    assert int.from_bytes(spool[17][-4:], "big") == 17


def test_turns_of_a_conversation_and_repeated_rows_are_counted_as_before(given):
    rows = list(conversations(30))
    plan = plan_run(finetune_settings(given([*rows, rows[0], rows[4]])))
    of_row = Counter(example.origin.line for example in [*plan.data.train, *plan.data.eval])
    assert all(of_row[n + 1] == 1 + n % 3 for n in range(30)) and not {31, 32} & set(of_row)
    assert plan.data.summary["duplicates"] == 2
