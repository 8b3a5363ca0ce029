"""Readers and column mappings of one's own."""

import pytest

from data_rows import examples_of
from graft.config import DataSettings
from graft.data.pipeline import prepare
from graft.data.readers import READERS, endings
from graft.errors import InputError

MAPPING = '''
from graft.data.columns.base import mapping_by_name
from graft.data.example import AnswerExample


def frage_antwort(columns, rows, settings, labels=None):
    """German questions and answers."""
    if not {"frage", "antwort"} <= set(columns):
        return None
    return mapping_by_name(
        "frage/antwort",
        ("frage", "antwort"),
        lambda row, origin: [AnswerExample(({"role": "user", "content": row["frage"]},), row["antwort"], origin)],
    )
'''


READER = '''
from graft.data.example import Origin
from graft.data.readers import Row


class LinePairs:
    """A prompt, a bar and an answer a line."""

    name = "line-pairs"
    endings = (".pairs",)

    def read(self, path, problems):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            prompt, bar, answer = line.partition("|")
            if not bar:
                problems.add("this line has no |", f"{path}:{number}")
                continue
            yield Row({"prompt": prompt, "completion": answer}, Origin(str(path), number))
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A package with a module and an entry point, on the path for the time of a test."""

    def installed(group, name, module, source):
        place = tmp_path / module
        information = place / f"{module}-1.0.dist-info"
        information.mkdir(parents=True)
        (place / f"{module}.py").write_text(source, encoding="utf-8")
        (information / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8"
        )
        attribute = "LinePairs" if "LinePairs" in source else "frage_antwort"
        (information / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:{attribute}\n", encoding="utf-8")
        monkeypatch.syspath_prepend(place)

    return installed


def test_a_mapping_of_a_file_is_used_when_it_is_named(tmp_path):
    (tmp_path / "own.py").write_text(MAPPING, encoding="utf-8")
    named = f"{tmp_path / 'own.py'}:frage_antwort"
    mapping, found = examples_of({"frage": "Wer?", "antwort": "Ann"}, column_mapping=named)
    assert mapping.kind == "frage/antwort" and found[0].completion == "Ann"
    with pytest.raises(InputError, match="not recognized: text, label"):
        examples_of({"text": "t", "label": "l"}, column_mapping=named)
    with pytest.raises(InputError, match=r"no column mapping called 'mesages'"):
        examples_of({"text": "t"}, column_mapping="mesages")


def test_an_installed_mapping_is_tried_before_those_that_are_built_in(install):
    install("graft.column_mapping", "frage_antwort", "own_mapping", MAPPING)
    row = {"frage": "Wer?", "antwort": "Ann", "text": "both"}
    assert examples_of(row)[0].kind == "frage/antwort"
    assert examples_of({"text": "alone"})[0].kind == "text"


def test_an_installed_reader_reads_files_of_its_ending(tmp_path, install):
    install("graft.reader", "line-pairs", "own_reader", READER)
    assert endings()[".pairs"].name == "line-pairs"
    file = tmp_path / "rows.pairs"
    file.write_text("".join(f"p{n}|a{n}\n" for n in range(20)), encoding="utf-8")
    found = prepare(DataSettings(data_files=(str(file),)), 0)
    assert len(found.train) + len(found.eval) == 20 and found.mapping.kind == "prompt/completion"
    file.write_text("p|a\nnothing\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"rows.pairs:2: this line has no \|"):
        prepare(DataSettings(data_files=(str(file),)), 0)


def test_what_is_no_reader_is_refused():
    with pytest.raises(InputError, match="nothing is not a reader: it lacks endings, read"):
        READERS.checked("nothing", type("Nothing", (), {"name": "nothing"}))
