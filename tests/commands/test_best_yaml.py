"""``best.yaml`` of a search: ``graft run`` trains the winner again, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from graft.cli.main import main
from graft.documents import read_yaml
from graft.report.search_page import write_search_pages
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
