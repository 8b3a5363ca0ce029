"""Damaged and odd data files: each is read, or refused with what is wrong."""

import json
import random

from data_files import TEXT_FORMATS, damaged, rows_of
from torture import rounds, tally

from graft.config import DataSettings
from graft.data.columns import recognize
from graft.data.columns.labeled import labeled_texts
from graft.data.columns.pairs import text_pairs
from graft.data.columns.tagged import tagged_words
from graft.data.pipeline import prepare, read_examples
from graft.data.rows import as_row

READ_AS = (*[recognize] * 7, labeled_texts, tagged_words, text_pairs)
OPTIONS = (
    *[{}] * 12,
    {"text_template": "Q: {question}\nA: {answer.0}"},
    {"prompt_template": "{prompt}", "completion_template": "{completion}"},
    {"label_separator": ","},
    {"label_names": ("a", "b", "c")},
    {"system_prompt": "S", "instruction": "I"},
    {"response_template": "a"},
    {"ignore_columns": ("label",)},
    {"column_mapping": "messages"},
    {"column_mapping": "chosen"},
)


def read_one(path, chance):
    """Read a file as a run or as an evaluation would; what is accepted can be written to a run."""
    settings = DataSettings(data_files=(str(path),), **chance.choice(OPTIONS))
    mapping = chance.choice(READ_AS)
    if chance.random() < 0.3:
        found = prepare(settings, 0, None, mapping)
        examples = [*found.train, *found.eval]
    else:
        examples = read_examples(settings, recognize=mapping).examples
    for example in examples:
        json.dumps(as_row(example), ensure_ascii=False).encode()


def test_text_files(tmp_path):
    with tally("data files (text)") as found:
        for seed in range(rounds(1500)):
            chance = random.Random(seed)
            name = chance.choice([*TEXT_FORMATS])
            try:
                whole = TEXT_FORMATS[name](rows_of(chance))
            except (ValueError, UnicodeError):
                continue
            data, how = damaged(whole, chance)
            path = tmp_path / name
            path.write_bytes(data)
            with found.case(f"{seed} {name} {how}"):
                read_one(path, chance)
