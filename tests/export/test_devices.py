import json

from graft.cli.main import main
from graft.engine.kernels import kernels_missing


def test_devices_says_what_there_is_and_what_it_would_choose(capsys):
    assert main(["devices", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "CPUExecutionProvider" in found["providers"]
    assert found["gflops"]["float32"] > 0 and found["gflops"]["int4"] > 0
    training = found["training_tokens_per_second"]
    assert set(training) == {"float32", "bfloat16", "int8"} and all(rate > 0 for rate in training.values())
    choice = found["choice"]["quickest_precision_for_frozen_layers"]
    assert choice == "float32" or training[choice] > 1.2 * training["float32"]
    assert found["kernels_missing"] == kernels_missing()
    assert main(["devices"]) == 0
    out = capsys.readouterr().out
    assert "GFLOP/s" in out and "C++ kernels" in out
    assert main(["devices", "--wrong", "1"]) == 2
