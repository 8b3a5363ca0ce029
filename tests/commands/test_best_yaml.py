"""What a search leaves of a real model: its pages, and ``best.yaml``, which trains the winner again, bit for bit."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from graft.cli.main import main
from graft.documents import read_yaml
from graft.report.search_luck import luck
from graft.report.search_page import write_search_pages
from graft.report.search_view import SearchView
from graft.runs.manifest import TrialRecord, read_run
from report import sample_search
from small_runs import tone_file, tune
from tiny_models import tiny_model_folder


def test_the_winner_is_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, data = tiny_model_folder(tmp_path), tone_file(tmp_path, 12)
    best = tune(model, data, "search/best", max_steps=3, lora_r=4, learning_rate=3e-3, token="hf_" + "a" * 20)
    searched = {"learning_rate": 3e-3, "lora_r": 4}
    trials = [TrialRecord(number=0, value=2.0), TrialRecord(number=1, settings=searched, value=1.0)]
    write_search_pages(sample_search.write(Path("search"), trials))
    written = read_yaml(Path("search/best.yaml"))
    assert list(written)[:2] == list(searched) and not {"output_path", "overwrite", "token"} & written.keys()
    assert main(["run", "search/best.yaml"]) == 0
    again = Path("runs/best")
    assert read_run(again).settings["lora_r"] == 4
    weights = Path("adapter/adapter_model.safetensors")
    assert (again / weights).read_bytes() == (Path(best) / weights).read_bytes()


@pytest.mark.slow
def test_a_search_leaves_pages_and_the_winner_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model, data = tiny_model_folder(tmp_path), tone_file(tmp_path, 20)
    space = "learning_rate=1e-3..1e-1 log, lora_r=2|4|8"
    options = ["--num_trials", "3", "--max_steps", "4", "--eval_steps", "2", "--eval_share", "0.5", "--prune", "false"]
    assert main(["search", str(model), str(data), "-o", "search", "--search_space", space, *options]) == 0
    view = SearchView.read(Path("search"))
    assert view.winner is not None and view.winner.number != 0  # the default rate does little in four steps
    found = luck(view)
    assert found is not None and found.interval is not None
    assert found.untouched == pytest.approx(found.interval.value, abs=1e-6)
    rows = list(csv.DictReader(Path("search/trials.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["trial"] for row in rows] == ["0", "1", "2"] and all(float(row["learning_rate"]) for row in rows)
    page = Path("search/search.html").read_text(encoding="utf-8")
    assert f"Trial {view.winner.number} is the best: held-out loss" in page and 'id="luck"' in page
    assert main(["show", "search"]) == 0
    assert f"Trial {view.winner.number} is the best" in capsys.readouterr().out
    assert main(["run", "search/best.yaml"]) == 0
    weights = Path("adapter/adapter_model.safetensors")
    assert (Path("runs/best") / weights).read_bytes() == (Path("search/best") / weights).read_bytes()
