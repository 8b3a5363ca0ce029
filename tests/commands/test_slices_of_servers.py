"""Slices and a cost matrix for a model behind a server; what needs likelihoods is refused before it is asked."""

import json

from answering_server import answering
from graft.cli.main import main
from graft.runs.trust import named_code


def test_a_server_is_judged_by_a_column_and_by_what_its_mistakes_cost(tmp_path, capsys):
    moods = [("fine", "good", "en"), ("bad", "bad", "en"), ("schön", "good", "de"), ("übel", "bad", "de")]
    rows = [{"text": f"{text} {n}", "label": mood, "language": code} for n in range(8) for text, mood, code in moods]
    path, costs = tmp_path / "rows.jsonl", tmp_path / "costs.csv"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    costs.write_text("right,good,bad\ngood,0,1\nbad,5,0\n", encoding="utf-8")
    with answering(lambda text: "bad" if "bad" in text.splitlines()[-1] else "good") as server:
        words = ["evaluate", server.url, "--data_files", str(path), "--by", "language", "--json"]
        assert main([*words, "--metrics", f"cost={costs},accuracy"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert main([*words, "--metrics", "accuracy", "--abstain_below", "0.5"]) == 2
        asked = len(server.seen)
    groups = {group["value"]: group["predictors"] for group in found["slices"]["groups"]}
    (name,) = groups["en"]
    assert [groups[code][name]["cost"]["value"] for code in ("en", "de")] == [0.0, 2.5]
    assert [groups[code][name]["accuracy"]["value"] for code in ("en", "de")] == [1.0, 0.5]
    printed = capsys.readouterr()
    assert "gives no likelihoods of labels" in printed.out + printed.err
    assert asked <= 32 + 4  # no row was asked again


def test_a_matrix_on_a_drive_is_no_code():
    assert list(named_code({"metrics": ["cost=C:\\data\\costs.csv", "accuracy"]})) == []
    assert list(named_code({"metrics": "cost=D:/costs.csv,own.py:Cost"})) == ["own.py:Cost"]
    assert "x=own.py:Cost" in list(named_code({"metrics": ["x=own.py:Cost"]}))
