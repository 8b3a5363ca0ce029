import json

import pytest
from hypothesis import settings

from tiny_models import tiny_model_folder

settings.register_profile("untimed", deadline=None)  # property tests check results, never how long one took
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("models"), "llama")


@pytest.fixture
def rows_file(tmp_path):
    """Questions with answers of several lengths."""
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"Say {n}", "completion": "word " * n + "end"} for n in range(1, 7)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
