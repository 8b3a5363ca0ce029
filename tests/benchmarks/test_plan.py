import json
import sys

import pytest

import plan
from tiny_models import tiny_model_folder


def test_rows_are_the_same_each_time_and_all_different(tmp_path):
    for name in ("one", "other"):
        plan.write_rows(tmp_path / name, 300)
    lines = (tmp_path / "one").read_text(encoding="utf-8").splitlines()
    assert lines == (tmp_path / "other").read_text(encoding="utf-8").splitlines()
    assert len({json.loads(line)["prompt"] for line in lines}) == 300


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no wait4")
def test_a_plan_is_measured_and_recorded(tmp_path, capsys):
    model = tiny_model_folder(tmp_path)
    plan.main(["--rows", "200", "--model", str(model), "--label", "here", "--results", str(tmp_path / "results")])
    document = json.loads((tmp_path / "results" / "plan-here.json").read_text(encoding="utf-8"))
    assert [one["rows"] for one in document["results"]] == [plan.FEW, 200]
    assert all(one["cpu_seconds"] > 0 and one["peak_rss_mb"] > 100 for one in document["results"])
    assert "| 200 |" in capsys.readouterr().out
