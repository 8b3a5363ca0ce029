"""The data settings that a run recorded."""

from __future__ import annotations

from typing import Any

from graft.config import DataSettings
from graft.runs.folder import RunFolder


def recorded_data_settings(run: RunFolder) -> dict[str, Any]:
    """Return the settings by which a run formed its rows: those that were given, and those that were inferred."""
    where = {"data_name", "data_files", "train_split", "eval_split", "eval_data_files", "eval_share"}
    where |= {"max_train_samples", "max_eval_samples", "data_config_name"}
    names = set(DataSettings.model_fields) - where
    manifest = run.manifest
    settings = {name: value for name, value in manifest.settings.items() if name in names and value is not None}
    for inferred in manifest.inferred_settings:
        if inferred.name in names:
            settings.setdefault(inferred.name, inferred.value)
    return settings
