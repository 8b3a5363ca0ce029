"""The rows that weights are quantized for."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from graft.data.chat_template import Renderer
from graft.data.rows import from_row
from graft.data.tokenize import TokenizedExample, encode
from graft.export.onnx.export_builder import CALIBRATION_ROWS

MAX_LENGTH = 512


def calibration_rows(run: Path | None, tokenizer: Any, seed: int = 0) -> list[TokenizedExample]:
    """Training rows of ``run`` as the model reads them, drawn with ``seed``; never held-out ones.

    Returns:
        At most 256 rows; none if there is no run, or it kept no rows.
    """
    if run is None or not (run / "data" / "train.jsonl").is_file():
        return []
    # JSON allows U+2028 and U+0085 in a text, where splitlines would cut a row
    lines = [line for line in (run / "data" / "train.jsonl").read_text(encoding="utf-8").split("\n") if line]
    chosen = random.Random(seed).sample(lines, min(CALIBRATION_ROWS, len(lines)))
    renderer = Renderer(tokenizer)
    return [encode(from_row(json.loads(line)), renderer, MAX_LENGTH) for line in chosen]
