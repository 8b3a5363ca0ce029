import math

import pytest

from graft.hardware import container_memory, memory_mb


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
