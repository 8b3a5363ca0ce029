"""What goes wrong leaves nothing that looks finished, and says what to do."""

import os
import signal
import subprocess
import sys
import time

import pytest

from graft.cli.main import main
from graft.commands.export import generate_adapter
from graft.errors import GraftError
from graft.export.bundle import is_bundle
from tiny_models import tiny_model_folder


@pytest.mark.parametrize("way", ["merge", "switch"])
def test_an_adapter_over_a_base_of_another_size_is_refused(run, tmp_path, capsys, way):
    other = tiny_model_folder(tmp_path, "llama", width=128, seed=3)
    line = ["auto-opt", "--model_name_or_path", str(other), "--adapter_path", str(run / "adapter"), "--adapter", way]
    assert main([*line, "--skip_parity", "-o", str(tmp_path / "onnx")]) == 2
    assert "fit" in capsys.readouterr().err
    assert not list(tmp_path.glob("*onnx*")) and not list(tmp_path.glob(".*"))


def test_a_switchable_adapter_of_another_base_is_refused_by_its_hash(run, tmp_path, capsys):
    other = tiny_model_folder(tmp_path, "llama", width=64, seed=7)
    line = [
        "auto-opt",
        "--model_name_or_path",
        str(other),
        "--adapter_path",
        str(run / "adapter"),
        "--adapter",
        "switch",
    ]
    assert main([*line, "--skip_parity", "-o", str(tmp_path / "onnx")]) == 2
    assert "SHA-256" in capsys.readouterr().err
    assert not list(tmp_path.glob(".*"))


def test_heads_that_onnxruntime_does_not_take_are_refused_at_once(tmp_path, capsys):
    model = tiny_model_folder(tmp_path, "llama", width=48, seed=3)
    assert main(["auto-opt", str(model), "--skip_parity", "-o", str(tmp_path / "onnx")]) == 2
    error = capsys.readouterr().err
    assert "multiple of 16; this model has 12" in error and str(model) in error
    assert not (tmp_path / "onnx").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no resource limits")
def test_a_full_disk_leaves_no_multi_adapter_bundle(learned, run, tmp_path):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(GraftError):
            generate_adapter(
                {"base_model_path": str(learned), "adapter_paths": str(run), "output_path": str(tmp_path / "multi")}
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_generate_adapter_leaves_no_bundle_and_the_next_one_clears_up(learned, run, tmp_path):
    line = ["generate-adapter", "--base_model_path", str(learned), "--adapter_paths", str(run), "--skip_parity"]
    line += ["--precision", "float32", "--output_path", str(tmp_path / "multi")]
    process = subprocess.Popen([sys.executable, "-m", "graft.cli.main", *line], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline and not list(tmp_path.glob(".multi-*/.work/made/*")):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob(".multi-*")) and not (tmp_path / "multi").exists()
    assert main(line) == 0
    assert is_bundle(tmp_path / "multi") and not list(tmp_path.glob(".multi-*"))
