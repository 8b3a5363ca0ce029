"""The rows that an exported model is compared with its PyTorch model on."""

from __future__ import annotations

from collections.abc import Sequence

from graft.config import DataSettings
from graft.errors import InputError
from graft.evaluation.rows import EvaluationRows
from graft.export.prompt_record import prompt_record
from graft.export.source import ExportSource
from graft.tasks.evaluation_rows import load_evaluation_rows

ROWS_ANSWERED, ROWS_OF_LOGITS = 64, 8
"""The first rows whose answers are compared token by token, and those whose logits are."""


def check_parity_rows(source: ExportSource, files: Sequence[str] | None, skipped: bool) -> None:
    """Check that there are rows for the comparison.

    Raises:
        InputError: If the comparison is wanted, and there are no rows for it.
    """
    if source.run is None and files is None and not skipped:
        raise InputError(
            "there are no rows for the comparison with the PyTorch model",
            remedy="give a run folder, --data_files rows.jsonl, or --skip_parity",
        )


def load_parity_rows(source: ExportSource, files: Sequence[str] | None, count: int) -> EvaluationRows:
    """The first ``count`` rows of ``files``, or of the run's held-out rows.

    Raises:
        InputError: If the rows cannot be read.
    """
    labels, prompt = source.encoding.label_space, prompt_record(source)
    trusted = source.base.trust_remote_code
    rows = load_evaluation_rows(source.run, files, DataSettings(), source.task, labels, prompt=prompt, trusted=trusted)
    return rows.first(count)
