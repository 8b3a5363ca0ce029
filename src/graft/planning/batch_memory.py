"""What a batch takes in memory, for the automatic batch size: counted as the estimate of a run counts it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from graft.config import FinetuneSettings
from graft.data.token_table import row_lengths
from graft.data.tokenize import TokenizedExample
from graft.errors import InputError
from graft.planning.inputs import Inputs
from graft.tasks.encoding import Encoding
from graft.training.schedule import token_megabytes

log = logging.getLogger(__name__)
LONG = 0.95
"""The quantile of the rows' lengths that stands for a long row."""


def batch_megabytes(
    settings: FinetuneSettings, inputs: Inputs, encoding: Encoding, rows: Sequence[TokenizedExample], size: int
) -> float:
    """Return the MB that ``size`` long rows take in a step, beyond the weights.

    Args:
        settings: Method and engine.
        inputs: The model and the task.
        encoding: The tokenizer and the labels.
        rows: The rows to train on.
        size: The rows of a batch.
    """
    from graft.planning.footprint import Subject, footprint

    lengths = row_lengths(rows)
    order = np.argsort(lengths)
    last = int(LONG * (len(order) - 1)) + 1
    chosen = [rows[int(index)] for index in order[max(0, last - size) : last]]
    try:
        found = footprint(Subject(inputs.base, inputs.task, encoding, settings), chosen)
    except InputError:
        raise
    except Exception as error:  # of any model's code, an extension's method
        log.info("the memory of a batch is guessed from the sizes of the model: %s", error)
        return size * int(lengths[order[last - 1]]) * token_megabytes(inputs.base.text_config)
    return found.step / 2**20
