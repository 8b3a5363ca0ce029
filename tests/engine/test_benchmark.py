import json

import pytest
import torch

from graft.engine.benchmark import ENGINES, engine_rates, machine_key, measure_engines, slowdown
from graft.progress import Silent
from graft.training.engine_choice import EngineChoice


class Notes(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def write_rates(folder, **rates):
    path = folder / "benchmarks" / f"engines-{machine_key()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rates), encoding="utf-8")


def test_every_engine_is_timed_and_random_numbers_stay():
    before = torch.random.get_rng_state()
    rates = measure_engines(hidden=64, inner=128, steps=1)
    assert set(rates) == set(ENGINES) and all(rate > 0 for rate in rates.values())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_rates_are_measured_once_for_a_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    write_rates(tmp_path, exact=1.0)  # of a version with other engines
    reporter = Notes()
    rates = engine_rates(reporter)
    assert len(reporter.notes) == 1 and "measuring" in reporter.notes[0]
    assert engine_rates(reporter) == rates and len(reporter.notes) == 1
    key = machine_key()
    monkeypatch.setenv("GRAFT_KERNELS", "0")
    assert machine_key() != key


@pytest.mark.parametrize(("engine", "notes"), [("int8", ["9.0 times as long"]), ("bfloat16", []), ("exact", [])])
def test_an_engine_without_kernels_says_that_it_is_slower(engine, notes, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_KERNELS", "0")
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    write_rates(tmp_path, exact=900.0, int8=100.0, bfloat16=950.0)
    assert slowdown("int8") == 9
    reporter = Notes()
    EngineChoice(engine).on(torch.device("cpu")).report(reporter)
    said = [note for note in reporter.notes if "compiled kernels" not in note]
    assert len(said) == len(notes) and all(part in note for part, note in zip(notes, said, strict=True))


def test_an_engine_with_kernels_is_not_measured():
    choice = EngineChoice("int8").on(torch.device("cuda"))
    assert not choice.falls_back and choice.kernels_missing is None
