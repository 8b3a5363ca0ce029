"""Embeddings for the data doctor, by an encoder that is there: nothing is downloaded unasked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.config import DoctorSettings, ModelSettings
from graft.models.embedded import is_cached
from graft.models.folder import Base
from graft.models.resolve import resolve
from graft.progress import SILENT, Reporter

ENCODER = "all-minilm-l6-v2"
MOST_ROWS = 100_000
"""Rows up to which an encoder is used unasked: it takes half a gigabyte, which large data is not to need."""
LONGEST = 256
"""Tokens of a text that are read: as many as the default encoder was trained on."""


def find_embeddings(settings: DoctorSettings, rows: int, reporter: Reporter = SILENT) -> Embeddings | None:
    """Return what embeds texts: the encoder that is named, or for few rows the default one if it is in the cache.

    Args:
        settings: The encoder, and how models are got.
        rows: The number of rows of the data.
        reporter: Shows the progress.

    Raises:
        InputError: If the named encoder is no model.
    """
    name = settings.encoder or (ENCODER if rows <= MOST_ROWS and is_cached(ENCODER) else None)
    if name is None:
        return None
    named = settings.part(ModelSettings).model_copy(update={"model_name_or_path": name, "model_revision": None})
    return Embeddings(resolve(named, reporter), reporter)


class Embeddings:
    """Embeds texts with a model that is loaded when it is first needed.

    Args:
        base: The model.
        reporter: Shows the progress.
    """

    def __init__(self, base: Base, reporter: Reporter = SILENT) -> None:
        self.base, self._reporter = base, reporter
        self._model: Any = None

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a row of length 1 for each text, (texts, size).

        Raises:
            InputError: If the model does not load.
        """
        import torch

        from graft.data.spool import in_parts
        from graft.models.load import load_model, load_tokenizer
        from graft.tasks.batching import BATCH_ROWS, pad_inputs
        from graft.tasks.encoding import model_limit
        from graft.tasks.feature_extraction import FEATURE_EXTRACTION, embed

        if self._model is None:
            self._model = load_model(self.base, FEATURE_EXTRACTION.auto_class), load_tokenizer(self.base)
        model, tokenizer = self._model
        limit = min(LONGEST, model_limit(tokenizer, self.base))
        rows: list[list[int]] = []
        for part in in_parts(texts, 1_000):
            rows += tokenizer(list(part), truncation=True, max_length=limit)["input_ids"]
        rows = [ids or [tokenizer.pad_token_id] for ids in rows]
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        found = np.zeros((len(rows), model.config.hidden_size), np.float32)
        with torch.inference_mode():
            for places in in_parts(order, BATCH_ROWS):
                batch = pad_inputs([rows[place] for place in places], tokenizer.pad_token_id)
                found[places] = embed(model, **batch).numpy()
        return found
