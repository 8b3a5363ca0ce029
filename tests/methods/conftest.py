from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tests write to no cache but their own."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("GRAFT_CACHE", str(cache))
    return cache
