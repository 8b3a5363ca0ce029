"""An adapter whose base is gone."""

import json

import pytest

from graft.config import HubSettings
from graft.models.find_base import BaseMissing, base_of_adapter
from graft.progress import SILENT


def test_a_relative_base_that_is_gone_is_named(tmp_path):
    config = {"peft_type": "LORA", "base_model_name_or_path": "./base"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(BaseMissing, match=r"\./base"):
        base_of_adapter(tmp_path, HubSettings(), SILENT)
