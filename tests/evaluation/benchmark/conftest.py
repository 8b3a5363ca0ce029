import pytest

from benchmark_tasks import write_tasks

pytest.importorskip("lm_eval")


@pytest.fixture
def tasks(tmp_path):
    return write_tasks(tmp_path / "tasks")
