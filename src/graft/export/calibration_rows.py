"""The rows that weights are quantized for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.data.chat_template import Renderer
from graft.data.tokenize import TokenizedExample, encode
from graft.export.onnx.export_builder import CALIBRATION_ROWS
from graft.runs.kept_rows import draw_kept_rows

MAX_LENGTH = 512


def calibration_rows(run: Path | None, tokenizer: Any, seed: int = 0) -> list[TokenizedExample]:
    """Training rows of ``run`` as the model reads them, drawn with ``seed``; never held-out ones.

    Returns:
        At most 256 rows; none if there is no run, or it kept no rows.

    Raises:
        InputError: If one of these rows is damaged.
    """
    if run is None or not (run / "data" / "train.jsonl").is_file():
        return []
    chosen = draw_kept_rows(run / "data" / "train.jsonl", CALIBRATION_ROWS, seed)
    renderer = Renderer(tokenizer)
    return [encode(row, renderer, MAX_LENGTH) for row in chosen]
