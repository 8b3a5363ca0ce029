"""The training benchmark, the real way, on a tiny model: processes, rows, clock, judge, file."""

import json
from pathlib import Path

import pytest

import environments
import tables
import train
from contenders import CONTENDERS
from tiny_models import tiny_model_folder


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    words = ["good", "bad"]
    for name, count in (("train", 40), ("test", 8)):
        rows = [{"text": f"a {words[i % 2]} day {name} {i}", "label": words[i % 2]} for i in range(count)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    given = {
        "model": tiny_model_folder(folder),
        "train": folder / "train.jsonl",
        "test": folder / "test.jsonl",
        "output": folder / "result.json",
        "rows_a_step": 16,
        "steps": 1,
        "turns": 1,
        "threads": 1,
        "learning_rate": 1e-2,
    }
    return [str(part) for name, value in given.items() for part in (f"--{name}", value)]


@pytest.fixture(scope="module")
def measured(arguments):
    train.main([*arguments, "--contenders", "graft exact"])
    train.main([*arguments, "--contenders", "graft plain", "--append"])
    return json.loads(Path(arguments[arguments.index("--output") + 1]).read_text(encoding="utf-8"))


def test_engines_take_the_same_steps_and_are_judged_alike(measured):
    exact, plain = measured["turns"]
    assert (exact["contender"], plain["contender"]) == ("graft exact", "graft plain")
    assert exact["rows"] == plain["rows"] == 16
    assert exact["rows_per_second"] == pytest.approx(16 / sum(exact["seconds"]), rel=0.01)
    assert exact["held_out_loss"] == pytest.approx(plain["held_out_loss"], abs=1e-4)
    assert exact["peak_mb"] > 100 and exact["cores"] > 0
    assert exact["frozen_gflops"] < exact["all_gflops"]


def test_turns_are_appended_and_never_written_over(measured, arguments):
    assert set(measured["summary"]) == {"graft exact", "graft plain"}
    assert measured["machine"]["cores"] and measured["settings"]["rows_a_step"] == 16
    with pytest.raises(SystemExit, match="--append goes on with it"):
        train.main([*arguments, "--contenders", "graft exact"])
    with pytest.raises(SystemExit, match="measured with another seed"):
        train.main([*arguments, "--contenders", "graft exact", "--append", "--seed", "1"])


def test_the_time_to_an_accuracy_stops_where_it_is_reached(arguments, tmp_path):
    output = str(tmp_path / "time.json")
    asked = ["--time_to", "0.1", "--check_every", "1", "--most_steps", "2", "--contenders", "graft exact"]
    train.main([*arguments, "--output", output, *asked])
    (found,) = json.loads(Path(output).read_text(encoding="utf-8"))["time_to"]
    assert found["seconds"] > 0 and found["rows"] == 16
    assert len(found["curve"]) == 1 and found["curve"][0][2] >= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["TRL best", "TRL defaults", "Olive best", "Olive defaults"])
def test_peers_train_the_same_rows(name, measured, arguments, tmp_path):
    contender = CONTENDERS[name]
    if not environments.is_ready(contender.worker):
        pytest.skip(f"{contender.worker} has no environment here; benchmarks/train.py makes it")
    output = str(tmp_path / "peer.json")
    train.main([*arguments, "--output", output, "--contenders", name])
    (turn,) = json.loads(Path(output).read_text(encoding="utf-8"))["turns"]
    exact = measured["turns"][0]
    tokens = exact["tokens_per_second"] * sum(exact["seconds"])
    assert turn["rows"] == (16 if contender.joined is None else pytest.approx(16 * 1024 / tokens, rel=0.01))
    if name == "TRL best":
        assert turn["held_out_loss"] == pytest.approx(exact["held_out_loss"], abs=1e-3)


def test_ratios_are_to_the_best_peer():
    def turn(contender, rate, cores=1.9):
        return {
            "contender": contender,
            "cores": cores,
            "rows_per_second": rate,
            "rows_per_cpu_second": rate / 2,
            "trained_tokens_per_second": 2 * rate,
            "peak_mb": 1000,
            "held_out_loss": 0.5,
            "gemm_gflops": 100,
            "frozen_gflops": 10 * rate,
            "all_gflops": 12 * rate,
        }

    rates = {"graft exact": (8, 6, 7), "TRL best": (2, 1, 1), "TRL best bf16": (1, 0.5, 0.5)}
    turns = [turn(name, rate) for name, each in rates.items() for rate in each]
    turns.append(turn("graft exact", 0.1, cores=0.4))  # somebody else had the processor
    found = tables.summary(turns)
    assert (found["graft exact"]["turns"], found["graft exact"]["disturbed_turns"]) == (3, 1)
    assert {one["best_peer"] for one in found.values()} == {"TRL best"}
    exact = found["graft exact"]
    assert (exact["times_best_peer_second_median"], exact["times_best_peer_second_best"]) == (7, 4)
    settings = {"name": "tone", "rows_a_step": 32, "steps": 4, "warm_up": 1, "threads": 2}
    table = tables.markdown({"settings": settings, "machine": {"cpu": "a CPU"}, "turns": turns, "time_to": []})
    assert "| graft exact | 3 | 7.00 (6.00–8.00) | 7.0 (4.0) | 7.0 (4.0) | 3.25 (6.5) | 1,000 |" in table
