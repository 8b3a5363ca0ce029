"""Checking a GGUF file without llama.cpp: transformers reads it back."""

from __future__ import annotations

import gc
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graft.data.tokenize import prompt_ids
from graft.errors import GraftError, InputError
from graft.export.llama_cpp.judged import Judged
from graft.export.parity import exact_verdict, numbers_verdict
from graft.export.parity_rows import ROWS_OF_LOGITS

READ_BACK = frozenset({"llama", "mistral", "qwen2"})
"""Model types whose files transformers is known to read as llama.cpp does."""
NOT_RUN = 'not run in llama.cpp: pip install "graft-slm[gguf]"'


def read_back(judged: Judged, file: Path, precision: str) -> dict[str, Any]:
    """Compare the tokens of prompts and the logits after them; the result says that llama.cpp did not run the file.

    Args:
        judged: What the model that was judged does.
        file: The GGUF file.
        precision: The number format of its weights.

    Returns:
        The parity document for the manifest.
    """
    reference = judged.reference
    texts, prompts = reference.texts[:ROWS_OF_LOGITS], reference.prompts[:ROWS_OF_LOGITS]
    # Not in the bundle: Windows keeps a file that is mapped to memory, and moves no folder that holds one.
    with tempfile.TemporaryDirectory(prefix="graft-gguf-", ignore_cleanup_errors=True) as folder:
        again, tokenizer = _loaded(file, Path(folder))
        logits = _last_logits(again, prompts)
        same_ids = sum(prompt_ids(tokenizer, text) == list(ids) for text, ids in zip(texts, prompts, strict=True))
        del again, tokenizer
        gc.collect()  # the weights are mapped from the folder
    pairs = list(zip(reference.logits, logits, strict=True))
    difference = _difference(pairs)
    same_next = sum(_likeliest(x) == _likeliest(y) for x, y in pairs)
    within = "logits that are no numbers" if difference is None else f"logits within {difference:g}"
    said = f"read back by transformers: {same_next} of {len(texts)} next tokens equal, {within}"
    parity = {
        "read_back_by": "transformers",
        "rows": len(texts),
        "token_ids_identical": [same_ids, len(texts)],
        "next_token_equal": [same_next, len(texts)],
        "greatest_logit_difference": difference,
        "passed": True,
        "reason": f"{NOT_RUN}; {said}",
    }
    if precision == "float32":
        return exact_verdict(parity, reference.greatest_logit)
    return numbers_verdict(parity)


def _difference(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> float | None:
    """The greatest difference of logits; None where one is not a number."""
    found = [abs(a - b) for x, y in pairs for a, b in zip(x, y, strict=False)]
    return round(max(found, default=0.0), 5) if all(map(math.isfinite, found)) else None


def _likeliest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def _last_logits(model: Any, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
    """The logits (vocabulary) after each of ``prompts``."""
    import torch

    with torch.no_grad():
        return [model(input_ids=torch.tensor([list(ids)])).logits[0, -1].float().tolist() for ids in prompts]


def _loaded(file: Path, folder: Path) -> tuple[Any, Any]:
    """The model and the tokenizer in a GGUF file, unpacked to ``folder``."""
    from graft.models.base import load_model, load_tokenizer, open_run_or_model
    from graft.models.gguf_reader import convert, read_header

    try:
        convert(file, folder, read_header(file), "")
    except InputError as error:
        raise GraftError("the GGUF file cannot be read back", where=str(file)) from error
    base = open_run_or_model(folder).base
    return load_model(base), load_tokenizer(base)
