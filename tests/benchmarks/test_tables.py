"""Stored results become one current table a processor."""

import json

import tables


def test_a_result_replaces_the_last_one_of_its_processor(tmp_path):
    document = {
        "machine": {"cpu": "AMD EPYC (2 cores)"},
        "rows": 571,
        "labels": 3,
        "seconds": {"graft": [2.0, 1.0], "labels apart": [8.0, 6.0]},
        "greatest_difference_nats": 1e-5,
    }
    first = tables.store("score", document, tmp_path)
    again = tables.store("score", document | {"rows": 570}, tmp_path)
    other = tables.store("score", document | {"machine": {"cpu": "Apple M2"}}, tmp_path)
    assert first == again != other and first.name == "score-amd-epyc-2-cores.json"
    assert json.loads(first.read_text(encoding="utf-8"))["rows"] == 570
    found = tables.current(tmp_path)
    assert found.index("## AMD EPYC (2 cores)") < found.index("## Apple M2")
    assert "| labels apart | 7.0 | 6.0 | 4.7 |" in found and "570 rows of 3 labels" in found


def test_the_results_in_the_repository_have_tables():
    files = list(tables.RESULTS.glob("*.json"))
    assert files and tables.current().count("### ") == len(files)
