"""The page on metrics: what it prints is what its code prints, and its tables hold."""

import re

import pytest

from docs.pages import ROOT, blocks
from graft.config import DataSettings, build
from graft.data.pipeline import read_examples
from graft.data.words import words

PAGE = ROOT / "docs" / "explanation" / "metrics.md"
DATA = ROOT / "docs" / "how-to" / "prepare-data.md"


def test_the_code_prints_what_the_page_shows(capsys):
    found = blocks(PAGE)
    (place,) = [place for place, block in enumerate(found) if block.title == "languages.py"]
    exec(compile(found[place].text, "languages.py", "exec"), {})
    assert capsys.readouterr().out == found[place + 1].text


WORDS = re.findall(r"^\| (`[^|]+`) \| (`[^|]+`) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("text", "listed"), WORDS)
def test_the_words_in_the_table(text, listed):
    assert words(text.strip("`")) == [word.strip("`") for word in listed.split(", ")]


def test_there_is_a_table_of_words():
    assert len(WORDS) == 6


SEVERAL = re.findall(r"^\| [^|]+ \| `(\{[^|]+\})` \|$", DATA.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("row", SEVERAL)
def test_the_forms_of_several_answers(row, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(row + "\n", encoding="utf-8")
    (example,) = read_examples(build(DataSettings, {"data_files": (str(path),)})).examples
    assert (example.reference, example.alternatives) in [("Jane Austen", ("Austen",)), ("Hund", ("der Hund",))]


def test_there_is_a_table_of_forms():
    assert len(SEVERAL) == 5
