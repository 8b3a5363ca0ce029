"""A search over many trials keeps no memory of them."""

import psutil
import pytest

from graft.commands.search import search
from graft.progress import Silent
from small_runs import tone_file
from tiny_models import tiny_model_folder


class Memory(Silent):
    """The resident memory after each trial, in bytes."""

    def __init__(self):
        self.after = []

    def note(self, text):
        if text.startswith("trial "):
            self.after.append(psutil.Process().memory_info().rss)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_trials(tmp_path):
    place = tiny_model_folder(tmp_path, width=256), tone_file(tmp_path, 20)
    size = sum(file.stat().st_size for file in place[0].glob("*.safetensors"))
    memory = Memory()
    settings = {"max_steps": 2, "eval_share": 0.4, "batch_size": 8, "evaluate": False, "prune": False, "num_trials": 9}
    settings |= {"model_name_or_path": str(place[0]), "data_files": str(place[1]), "method": "full"}
    settings |= {"search_space": "learning_rate=1e-4..1e-2 log", "output_path": str(tmp_path / "search")}
    search(settings, memory)
    assert len(memory.after) == 9
    assert memory.after[8] - memory.after[3] < 2 * size, [each >> 20 for each in memory.after]  # five trials keep none
