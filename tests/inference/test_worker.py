"""What becomes of the processes that run GGUF files and bundles when something goes wrong around them."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from graft.errors import GraftError
from graft.export.onnx.worker import OnnxWorker
from graft.inference.llama_cpp import LlamaCpp
from graft.processes import module_command

PLANTED = ("secrets", "json", "runpy", "linecache", "xllamacpp", "onnxruntime", "numpy", "pip", "graft")


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A folder to work in with modules that write a file when they are run; the fixture is that file."""
    folder, proof = tmp_path / "downloaded", tmp_path / "proof.txt"
    folder.mkdir()
    for name in PLANTED:
        text = f"open({str(proof)!r}, 'a', encoding='utf-8').write(__name__)\n"
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder)
    return proof


def bent(done, total):
    raise ValueError(f"{done} of {total}")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    pytest.importorskip("xllamacpp")
    from graft.export.gguf.writer import write_gguf
    from graft.models.base import load_model, load_tokenizer, open_run_or_model
    from tiny_models import tiny_model_folder

    folder = tmp_path_factory.mktemp("gguf")
    base = open_run_or_model(tiny_model_folder(folder, "llama", width=64)).base
    written = folder / "m.gguf"
    write_gguf(load_model(base), load_tokenizer(base), written, "float32", {}, name="m", license=None)
    return written


def test_llama_cpp_runs_no_code_of_the_current_folder(file, planted):
    with LlamaCpp(file, threads=1) as runtime:
        assert runtime.model().vocabulary > 0
    assert not planted.exists()


def test_the_process_of_a_bundle_runs_no_code_of_the_current_folder(tmp_path, planted):
    pytest.importorskip("onnxruntime")
    with OnnxWorker(tmp_path) as worker, pytest.raises(GraftError, match="the bundle failed"):
        worker.generate([[1]], 1, ())  # there is no graph in the folder
    assert not planted.exists()


def test_pip_runs_no_code_of_the_current_folder(planted):
    pytest.importorskip("pip")
    done = subprocess.run(module_command("pip", "--version"), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pip ") and not planted.exists()


@pytest.mark.parametrize("version", [(3, 10), (3, 11)])
def test_the_command_passes_arguments_and_keeps_the_folders_of_pythonpath(tmp_path, planted, monkeypatch, version):
    if sys.version_info < version:
        pytest.skip("this Python has no -P")
    monkeypatch.setattr(sys, "version_info", version)
    module = "import json, sys\nprint(json.dumps([__name__, sys.argv[1:], 'secrets' in sys.modules]))\n"
    (tmp_path / "asked_for.py").write_text(module, encoding="utf-8")
    command = module_command("asked_for", "-a", "b c")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '["__main__", ["-a", "b c"], false]'
    assert not planted.exists()


def test_the_current_folder_would_run_without_the_command(planted):
    subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    assert planted.exists()


def test_an_error_in_progress_ends_llama_cpp_and_its_late_answer_is_nobodys(file):
    with LlamaCpp(file, threads=1) as runtime:
        with pytest.raises(ValueError, match="1 of 2"):
            runtime.generate([[1, 2], [3, 4]], 2, (), bent)
        with pytest.raises(GraftError, match="an earlier question ended the process: 1 of 2"):
            runtime.tokenize(["a"])
    with runtime:
        assert runtime.detokenize(runtime.tokenize(["a b"], begin=False)) == ["a b"]


@pytest.mark.parametrize("between", [False, True], ids=["closed", "asked and closed"])
def test_a_dead_process_is_closed_without_another_error(file, tmp_path, between):
    for worker in (LlamaCpp(file, threads=1), OnnxWorker(tmp_path)):
        with worker:
            process = worker._process
            process.kill()
            process.wait()
            if between:
                with pytest.raises(GraftError, match=r"m\.gguf|the process of the bundle ended"):
                    worker.ask("generate", prompts=[[1] * 100_000], max_new_tokens=1, ends=[])
        assert process.stdout.closed
        worker.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_process_ends_with_the_one_that_asks_it_even_in_the_middle_of_an_answer(tmp_path):
    """The asking process is killed, so that it can end nothing itself; a Ctrl-C is none of the asked one's business."""
    served = tmp_path / "served.py"
    served.write_text(
        "import time\n"
        "from graft.inference.worker import serve\n"
        "class Served:\n"
        "    def wait(self, progress):\n"
        "        progress(0, 1)\n"
        "        time.sleep(600)\n"
        "serve(Served, ValueError)\n",
        encoding="utf-8",
    )
    asking = (
        "import os, signal, subprocess, sys\n"
        "served = subprocess.Popen([sys.executable, sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        'served.stdin.write(b\'{"what": "wait"}\\n\')\n'
        "served.stdin.flush()\n"
        "served.stdout.readline()\n"
        "served.send_signal(signal.SIGINT)\n"
        "print(served.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", asking, str(served)], capture_output=True, text=True, check=False)
    served_pid, deadline = int(done.stdout), time.monotonic() + 30
    while _runs(served_pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert done.returncode == -signal.SIGKILL and not _runs(served_pid)


def _runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_process_that_a_library_crashed_is_said_to_have_ended_by_its_signal(tmp_path, number):
    pytest.importorskip("onnxruntime")
    with OnnxWorker(tmp_path) as worker:
        worker._process.send_signal(number)
        worker._process.wait()
        with pytest.raises(
            GraftError, match=f"the process of the bundle ended: it was ended by the signal {number.name}"
        ):
            worker.generate([[1] * 100_000], 1, ())
