import math
import os
import subprocess
import sys

import pytest

from graft.hardware.machine import container_memory, memory_mb, peak_memory_mb


def written(folder, prefix, names, limit):
    for name, text in zip(names, (limit, "900\n", "anon 500\ninactive_file 300\n"), strict=True):
        path = folder / prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")


@pytest.mark.parametrize(
    ("prefix", "names"),
    [
        ("", ("memory.max", "memory.current", "memory.stat")),
        ("memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")),
    ],
)
def test_a_containers_limit_is_read(tmp_path, prefix, names):
    written(tmp_path, prefix, names, "1000\n")
    assert container_memory(tmp_path) == (1000.0, 600.0)


def test_without_a_limit_there_is_none(tmp_path):
    assert container_memory(tmp_path) == (math.inf, 0.0)
    written(tmp_path, "", ("memory.max", "memory.current", "memory.stat"), "max\n")
    assert container_memory(tmp_path)[0] == math.inf


def test_memory_adds_up():
    available, total, held = memory_mb()
    assert 0 < available <= total and 0 < held < total


@pytest.mark.parametrize(("given", "found"), [({}, "PASSIVE 2000"), ({"OMP_WAIT_POLICY": "active"}, "active None")])
def test_the_command_lets_threads_sleep_unless_the_user_has_said_otherwise(given, found):
    code = (
        "import os, sys; from graft.cli.main import main; main(['--version']); assert 'torch' not in sys.modules;"
        "print(os.environ['OMP_WAIT_POLICY'], os.environ.get('GOMP_SPINCOUNT'))"
    )
    assert _printed(code, given).splitlines()[-1] == found


def test_importing_graft_changes_neither_the_environment_nor_loggers():
    code = (
        "import logging, os; before = dict(os.environ)\n"
        "import graft; print(dict(os.environ) == before)\n"
        "graft.finetune, graft.evaluate_model  # imports torch and others, which set variables\n"
        "print(any(name.startswith(('OMP_', 'GOMP_')) for name in os.environ), logging.getLogger('bitsandbytes').level)"
    )
    assert _printed(code, {}).split() == ["True", "False", "0"]


def _printed(code, given):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**environment, **given}, capture_output=True, text=True, check=True).stdout


def test_a_process_has_the_peak_of_its_own_memory_and_not_of_its_parents():
    held = bytearray(b"x") * 400_000_000
    command = "from graft.hardware.machine import peak_memory_mb; print(peak_memory_mb())"
    child = subprocess.run([sys.executable, "-c", command], stdout=subprocess.PIPE, text=True, check=True)
    assert 5 < float(child.stdout) < len(held) / 2**20 < peak_memory_mb()
