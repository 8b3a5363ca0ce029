"""The quick checks before training: what they find, what ends the command, and what is kept of it."""

import json
from dataclasses import replace

import pytest

from graft.config import DataSettings
from graft.data.checks import Finding
from graft.data.example import Origin
from graft.data.located import Located
from graft.data.pipeline import prepare
from graft.data.sources import load_readable
from graft.errors import InputError
from graft.planning.quick_checks import checked, finding_record, refuse_errors
from graft.progress import SILENT

ROWS = [{"text": f"text {n} of {n * 7}", "label": ("a", "b", "b")[n % 3]} for n in range(90)]
TALKS = [{"prompt": f"Name {n}?", "completion": f"c{n}"} for n in range(20)]


@pytest.fixture
def found(tmp_path):
    def run(rows, held=None):
        settings = {}
        for name, listed in (("data_files", rows), ("eval_data_files", held)):
            if listed is not None:
                path = tmp_path / f"{name}.jsonl"
                path.write_text("".join(json.dumps(row) + "\n" for row in listed), encoding="utf-8")
                settings[name] = (str(path),)
        settings = DataSettings(**settings)
        loaded = load_readable(settings)
        prepared = checked(prepare(settings, 42, None, loaded=loaded), loaded, 42, SILENT)
        assert prepared.summary["warnings"] == []
        return prepared.findings

    return run


def of(findings, kind, side):
    return next(finding for finding in findings if (finding.kind, finding.side) == (kind, side))


def test_clean_rows_have_no_findings(found):
    assert list(found(ROWS)) == []


def test_contradictions_and_imbalance(found):
    many = [{"text": f"more {n} and {n * 3}", "label": "b"} for n in range(300)]
    seen = found([*ROWS, {"text": ROWS[0]["text"], "label": "b"}, *many])
    assert len(of(seen, "contradictions", "train").rows) == 2
    assert "'b' has 289" in of(seen, "class_imbalance", "train").title


def test_labels_of_held_out_rows_that_training_lacks(found):
    seen = found(ROWS, [{"text": "new", "label": "c"}, {"text": "a new one", "label": "a"}])
    assert [str(row).rsplit(":", 1)[1] for row in of(seen, "unknown_classes", "eval").rows] == ["1"]


def test_held_out_rows_that_are_training_rows_and_near_ones(found):
    near = [{"prompt": "name  5?", "completion": "c5"}, {"prompt": "Name 6?", "completion": "other"}]
    seen = found(TALKS, [TALKS[4], *near, {"prompt": "something new", "completion": "c"}])
    leaked = [row.line for finding in seen if finding.side == "eval" for row in finding.rows]
    assert sorted(leaked) == [1, 2, 3]


def test_what_a_manifest_keeps(found):
    record = finding_record(of(found(TALKS, TALKS[:8]), "leakage", "eval"))
    assert record["count"] == 8 and len(record["places"]) == 5 and record["severity"] == "warning"
    json.dumps(record)


def test_an_error_ends_the_command_with_its_rows_and_remedy():
    rows = Located([Origin("rows.jsonl", 3), Origin("rows.jsonl", 5)])
    wrong = Finding("wrong", "error", "2 rows are wrong", rows, why="nothing is learned", fix="graft prepare DATA")
    refuse_errors([Finding("odd", "warning", "1 row is odd")])
    with pytest.raises(InputError) as caught:
        refuse_errors([wrong, replace(wrong, title="2 rows are worse")])
    said = str(caught.value)
    assert "rows.jsonl:3, 5: 2 rows are wrong: nothing is learned\n    graft prepare DATA" in said and "worse" in said
