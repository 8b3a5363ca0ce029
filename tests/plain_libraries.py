"""What transformers and PEFT alone compute from folders: in a process of its own, offline, without graft."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

IDS = [5, 9, 30, 80, 71]
_PROGRAM = """
import json, os, sys, warnings
import torch
from peft import *
from transformers import *

def values(model):
    given = dict(input_ids=torch.tensor([ids]))
    if model.config.is_encoder_decoder:
        given["decoder_input_ids"] = given["input_ids"]
    with torch.no_grad():
        found = model.eval()(**given)
    return (found.logits if "logits" in found else found.last_hidden_state).flatten().tolist()

def tokens(tokenizer):
    chat = [dict(role="user", content=text)]
    rendered = tokenizer.apply_chat_template(chat, tokenize=False) if tokenizer.chat_template else ""
    return [tokenizer(text)["input_ids"], rendered]

ids, text = IDS, "The answer, 東京 and\\n don't <tool>"
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    found = []
    for folder, call in json.loads(sys.stdin.read()):
        os.chdir(folder)
        found.append(eval(call))
assert "graft" not in sys.modules
print(json.dumps([found, [str(one.message) for one in said]]))
"""


def in_plain_python(calls: Sequence[tuple[Path, str]], folder: Path) -> tuple[list[Any], list[str]]:
    """Evaluate expressions, each in its directory; ``values(model)`` are logits or hidden states, flat.

    Args:
        calls: Directories and expressions.
        folder: Where a cache of the Hub would be, which is empty.

    Returns:
        Their values, and the warnings that were given.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GRAFT_", "HF_", "PYTHON"))}
    environment = {**kept, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HOME": str(folder / "no-cache")}
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", _PROGRAM.replace("IDS", str(IDS))],
        input=json.dumps([(str(place.resolve()), call) for place, call in calls]),
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found, said = json.loads(done.stdout.splitlines()[-1])
    return found, said
