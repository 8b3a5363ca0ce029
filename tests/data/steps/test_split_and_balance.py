"""The steps that make sides, and that make classes equally frequent."""

import json
import random
from collections import Counter

import pytest

from graft.commands.prepare import prepare_data, settings_class
from graft.config import DataSettings, build
from graft.data.columns import recognize
from graft.data.near import near_twins
from graft.data.pipeline import prepare
from graft.data.quality import to_examples
from graft.data.readers import load_file
from graft.errors import InputError

SENTENCE = "sea old film two friends again story meet very odd rather long quiet night road train garden winter"
WORDS = SENTENCE.split()


def texts(count, seed=0):
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=12)) + f" {number}" for number in range(count)]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def labeled(tmp_path):
    """300 rows, 20 of them of a rare class, of 60 authors, one a day."""
    labels = ["good"] * 200 + ["bad"] * 80 + ["rare"] * 20
    random.Random(1).shuffle(labels)
    rows = [
        {
            "text": text,
            "label": label,
            "author": f"a{number % 60}",
            "day": f"2026-{1 + number // 28:02}-{1 + number % 28:02}",
        }
        for number, (text, label) in enumerate(zip(texts(300), labels, strict=True))
    ]
    return write(tmp_path / "rows.jsonl", rows)


def sides(tmp_path, **given):
    done = prepare_data(build(settings_class(), {"output_path": tmp_path / "out", "overwrite": True, **given}))
    return {
        side: [json.loads(line) for line in (done.output / f"{side}.jsonl").read_text(encoding="utf-8").splitlines()]
        for side in done.rows
    }


def changes(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out" / "changes.jsonl").read_text(encoding="utf-8").splitlines()]


def test_each_side_has_its_share_of_each_class_and_the_order_of_the_rows(labeled, tmp_path):
    found = sides(tmp_path, data_files=labeled, eval_share=0.1, test_share=0.2)
    assert {side: len(rows) for side, rows in found.items()} == {"train": 210, "eval": 30, "test": 60}
    counts = {side: Counter(row["label"] for row in rows) for side, rows in found.items()}
    assert counts["test"] == {"good": 40, "bad": 16, "rare": 4} and counts["eval"] == {"good": 20, "bad": 8, "rare": 2}
    days = {side: [row["day"] for row in rows] for side, rows in found.items()}
    assert all(listed == sorted(listed) for listed in days.values())
    moved = changes(tmp_path)
    assert len(moved) == 90 and {line["action"] for line in moved} == {"moved"}
    assert sides(tmp_path, data_files=labeled, eval_share=0.1, test_share=0.2) == found
    assert sides(tmp_path, data_files=labeled, eval_share=0.1, test_share=0.2, seed=1) != found


def test_numbers_of_rows_and_what_is_asked_for(labeled, tmp_path):
    found = sides(tmp_path, data_files=labeled, steps="split", test_rows=30)
    assert len(found["test"]) == 30 and 20 < len(found["eval"]) <= 60
    with pytest.raises(InputError, match="--eval_share is given, too"):
        sides(tmp_path, data_files=labeled, eval_share=0.1, eval_rows=3)
    with pytest.raises(InputError, match="would take all 300 rows"):
        sides(tmp_path, data_files=labeled, eval_share=0.5, test_rows=200)


def test_rows_of_one_group_are_on_one_side(labeled, tmp_path):
    found = sides(tmp_path, data_files=labeled, group_column="author", eval_share=0.2, test_share=0.2)
    authors = [{row["author"] for row in rows} for rows in found.values()]
    assert len(authors) == 3 and sum(map(len, authors)) == len(set.union(*authors)) == 60
    with pytest.raises(InputError, match=r"no row has the column 'autor'(.|\n)*did you mean author"):
        sides(tmp_path, data_files=labeled, group_column="autor")


def test_the_newest_rows_are_judged(labeled, tmp_path):
    found = sides(tmp_path, data_files=labeled, time_column="day", eval_share=0.1, test_share=0.1)
    days = {side: [row["day"] for row in rows] for side, rows in found.items()}
    assert max(days["train"]) < min(days["eval"]) <= max(days["eval"]) < min(days["test"])
    rows = [json.loads(line) for line in labeled.read_text(encoding="utf-8").splitlines()]
    write(labeled, [{**row, "day": number} for number, row in enumerate(rows)])
    found = sides(tmp_path, data_files=labeled, time_column="day", eval_rows=30)
    assert min(row["day"] for row in found["eval"]) == 270
    write(labeled, [*rows[:5], {**rows[5], "day": "yesterday"}, *rows[6:9], {**rows[9], "day": 3}])
    with pytest.raises(
        InputError, match=r"rows.jsonl:6: the column 'day' has no time: 'yesterday'(.|\n)*numbers in some"
    ):
        sides(tmp_path, data_files=labeled, time_column="day")


def test_no_near_twin_is_on_the_other_side(tmp_path):
    chance = random.Random(3)
    rows = [{"prompt": text, "completion": chance.choice(WORDS)} for text in texts(200)]
    rows += [{**row, "prompt": f"{row['prompt']} indeed"} for row in chance.sample(rows, 60)]
    path = write(tmp_path / "rows.jsonl", rows)
    sides(tmp_path, data_files=path, eval_share=0.2, test_share=0.2)
    read = {side: load_file(tmp_path / "out" / f"{side}.jsonl") for side in ("train", "eval", "test")}
    made = {side: to_examples(rows, recognize(rows, DataSettings())) for side, rows in read.items()}
    for one, other in (("eval", "train"), ("test", "train"), ("eval", "test")):
        assert (near_twins(made[one], made[other]).places < 0).all()


def test_a_split_folder_stays_and_a_missing_side_is_made(labeled, tmp_path):
    first = sides(tmp_path, data_files=labeled, eval_share=0.2)
    (tmp_path / "out").rename(tmp_path / "first")
    again = sides(tmp_path, data_name=str(tmp_path / "first"), eval_share=0.2, test_share=0.2)
    assert again["eval"] == first["eval"] and len(again["test"]) == 48
    assert len(again["train"]) + len(again["test"]) == len(first["train"])


def test_rows_of_rare_classes_are_repeated_and_survive_everything(labeled, tmp_path):
    found = sides(tmp_path, data_files=labeled, eval_share=0.2, balance="oversample")
    assert Counter(row["label"] for row in found["train"]) == {"good": 160, "bad": 160, "rare": 160}
    assert Counter(row["label"] for row in found["eval"]) == {"good": 40, "bad": 16, "rare": 4}
    added = [row for row in found["train"] if "graft_provenance" in row]
    assert len(added) == 240 and {row["graft_provenance"]["step"] for row in added} == {"balance"}
    copies = Counter(row["text"] for row in found["train"] if row["label"] == "rare")
    assert set(copies.values()) == {10}
    prepared = prepare(DataSettings(data_name=str(tmp_path / "out")), seed=0)
    assert len(prepared.train) == 480 and len(prepared.eval) == 60


def test_copies_of_rows_that_are_held_out_later_are_not_trained_on(labeled, tmp_path):
    sides(tmp_path, data_files=labeled, balance="oversample")
    prepared = prepare(DataSettings(data_name=str(tmp_path / "out"), eval_share=0.2), seed=0)
    held = {example.input_text for example in prepared.eval}
    assert len(held) == len(prepared.eval) > 0
    assert not held & {example.input_text for example in prepared.train}


def test_rows_of_frequent_classes_are_left_out_by_the_seed(labeled, tmp_path):
    found = sides(tmp_path, data_files=labeled, balance="undersample")
    assert Counter(row["label"] for row in found["train"]) == {"good": 20, "bad": 20, "rare": 20}
    assert [line["action"] for line in changes(tmp_path)] == ["dropped"] * 240
    assert sides(tmp_path, data_files=labeled, balance="undersample", seed=9) != found


def test_other_ways_and_answers_that_are_no_classes_are_refused(labeled, tmp_path):
    with pytest.raises(InputError, match="oversample or undersample"):
        sides(tmp_path, data_files=labeled, balance="weights")
    answers = write(tmp_path / "answers.jsonl", [{"prompt": text, "completion": text} for text in texts(40)])
    with pytest.raises(InputError, match="only rows with classes"):
        sides(tmp_path, data_files=answers, balance="oversample")
