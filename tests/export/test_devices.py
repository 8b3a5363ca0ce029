import json

from graft.cli.main import main
from graft.engine.kernels import kernels_missing


def test_devices_says_what_there_is_and_what_it_would_choose(capsys):
    assert main(["devices", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "CPUExecutionProvider" in found["providers"]
    assert found["gflops"]["fp32"] > 0 and found["gflops"]["int4 weights"] > 0
    assert found["choice"]["quickest_precision_for_frozen_layers"] in found["gflops"]
    assert found["kernels_missing"] == kernels_missing()
    assert main(["devices"]) == 0
    out = capsys.readouterr().out
    assert "GFLOP/s" in out and "its C++ part" in out
    assert main(["devices", "--wrong", "1"]) == 2
