"""Settings of ``graft search``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.config.base import Settings, setting


class StudySettings(Settings):
    """How settings are searched; the settings of ``graft finetune`` hold for every trial."""

    search_strategy: str = setting(
        "random",
        "how trials are chosen: random, grid, tpe (pip install graft-slm[search]), or path/to/file.py:Name",
        "sampler",
    )
    search_space: Any = setting(
        None,
        "settings to search, by name: 'learning_rate=1e-5..1e-3 log, lora_r=8..64, batch_size=8|16|32', or a YAML file",
        "space",
    )
    num_trials: int | None = setting(
        None, "number of trials, with the defaults as the first (default: 20; of a grid, all points)", "n_trials", gt=0
    )
    prune: bool = setting(True, "stop trials whose held-out score falls behind (ASHA)")
    workers: int = setting(1, "processes on this machine that run trials; they share its threads", gt=0)
    ray: str | None = setting(
        None, "Ray cluster that runs trials: its address, or local (pip install graft-slm[ray])", "ray_address"
    )
    output_path: Path | None = setting(None, "search folder to write (default: runs/DATA-search)", "output_dir", "o")
    resume: bool = setting(False, "continue an interrupted search")
    overwrite: bool = setting(False, "replace the search in the output folder")
    seed: int = setting(42, "random seed", ge=0, lt=2**32)
