"""Tokenized rows in Arrow: compact, and of a large data set in a file that is mapped into memory."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from typing import Any, NamedTuple, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import ipc

from graft.data.example import Origin
from graft.data.example_set import ROWS_A_FILE
from graft.data.located import Located
from graft.data.spool import BYTES_IN_MEMORY, View, in_parts
from graft.data.tokenize import TokenizedExample

ROWS_A_BATCH = 4096


class _Columns(NamedTuple):
    """A record batch as arrays that share its memory; row i has the tokens ``offsets[i]`` to ``offsets[i + 1]``."""

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    prompt_lengths: NDArray[np.int32]
    cut: NDArray[np.int32]
    answer_cut: NDArray[np.uint8]
    merged: NDArray[np.uint8]
    files: NDArray[np.int32]
    lines: NDArray[np.int64]
    targets: pa.Array


class TokenTable(Sequence[TokenizedExample]):
    """Tokenized rows: 4 bytes a token, 30 bytes a row; more than 16 MB are in a temporary file without a name.

    A row is made into a ``TokenizedExample`` each time it is read.

    Attributes:
        lengths: The number of tokens in each row.
        prompt_lengths: The number of tokens in each row that are not trained on.
        cut: The number of tokens of each row that there was no room for.
        answer_cut: Whether an answer is among what was cut, of each row.
        merged: Whether a token would span the end of the prompt, of each row.
        places: Where in the table each row is; not all are, where some were left out.
        has_targets: Whether the rows are for a head.
    """

    def __init__(self, rows: Iterable[TokenizedExample]) -> None:
        files: dict[str, int] = {}
        batches = _stored(_batch(part, files) for part in in_parts(rows, ROWS_A_BATCH))
        self._files = list(files)
        self._batches = [_columns(batch) for batch in batches]
        self.lengths: NDArray[np.int64] = _joined([np.diff(batch.offsets) for batch in self._batches])
        self.prompt_lengths: NDArray[np.int64] = _joined([batch.prompt_lengths for batch in self._batches])
        self.cut: NDArray[np.int64] = _joined([batch.cut for batch in self._batches])
        self.answer_cut: NDArray[np.bool_] = _joined([batch.answer_cut for batch in self._batches]).astype(bool)
        self.merged: NDArray[np.bool_] = _joined([batch.merged for batch in self._batches]).astype(bool)
        self.places: NDArray[np.int64] = np.arange(len(self.lengths))
        self.has_targets = any(not pa.types.is_null(batch.targets.type) for batch in self._batches)

    @property
    def origins(self) -> NDArray[np.int64]:
        """A number for each row's origin; the rows of one line of a file have the same."""
        numbers = [batch.files.astype(np.int64) * ROWS_A_FILE + batch.lines for batch in self._batches]
        return _joined(numbers)[self.places]

    @property
    def has_answer(self) -> NDArray[np.bool_]:
        """Whether there are tokens to train on, of each row."""
        read = np.zeros(len(self), np.int64) if self.has_targets else np.maximum(1, self.prompt_lengths)
        return self.lengths > read

    def take(self, chosen: NDArray[np.bool_]) -> TokenTable:
        """Return the rows where a mask is true; their tokens stay where they are."""
        taken = copy(self)
        for name in ("lengths", "prompt_lengths", "cut", "answer_cut", "merged", "places"):
            setattr(taken, name, getattr(self, name)[chosen])
        return taken

    def __len__(self) -> int:
        return len(self.lengths)

    def tokens_from(self, first: int) -> set[int]:
        """Return the tokens of all rows whose ID is ``first`` or higher."""
        return {int(token) for batch in self._batches for token in np.unique(batch.tokens[batch.tokens >= first])}

    def has_token(self, token: int) -> bool:
        """Return whether a row contains the token with this ID."""
        return any(bool((batch.tokens == token).any()) for batch in self._batches)

    def located(self, chosen: NDArray[np.bool_]) -> Located:
        """Return where the rows come from whose mask is true, each line of a file once."""
        codes = self.origins[chosen]
        first = np.sort(np.unique(codes, return_index=True)[1])
        return Located(Origin(self._files[code // ROWS_A_FILE], code % ROWS_A_FILE) for code in codes[first].tolist())

    def counts(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return how many tokens of each row are among those that are chosen, a mask over token IDs."""
        sums = (np.concatenate([[0], np.cumsum(chosen[batch.tokens])]) for batch in self._batches)
        parts = [np.diff(sums_of[batch.offsets]) for sums_of, batch in zip(sums, self._batches, strict=True)]
        return _joined(parts)[self.places]

    @property
    def last_tokens(self) -> NDArray[np.int64]:
        """The last token of each row; -1 for a row without tokens."""
        parts = [np.concatenate([[-1], batch.tokens])[batch.offsets[1:]] for batch in self._batches]
        return np.where(self.lengths > 0, _joined(parts)[self.places], -1)

    def used_tokens(self) -> NDArray[np.int64]:
        """Return the IDs of all tokens that are in the table, in order."""
        return np.unique(_joined([np.unique(batch.tokens) for batch in self._batches]))

    def __iter__(self) -> Iterator[TokenizedExample]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> TokenizedExample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TokenizedExample]: ...
    def __getitem__(self, index: int | slice) -> TokenizedExample | Sequence[TokenizedExample]:
        if isinstance(index, slice):
            return View(self, range(len(self))[index])
        number, place = divmod(int(self.places[index]), ROWS_A_BATCH)
        return self._row(self._batches[number], place)

    def _row(self, batch: _Columns, place: int) -> TokenizedExample:
        start, stop = batch.offsets[place : place + 2]
        origin = Origin(self._files[batch.files[place]], int(batch.lines[place]))
        tokens: list[int] = batch.tokens[start:stop].tolist()
        target, cut = batch.targets[place].as_py(), int(batch.cut[place])
        return TokenizedExample(
            tokens,
            int(batch.prompt_lengths[place]),
            origin,
            cut,
            target,
            bool(batch.answer_cut[place]),
            bool(batch.merged[place]),
        )


def row_lengths(rows: Sequence[TokenizedExample]) -> NDArray[np.int64]:
    """Return the number of tokens in each row."""
    return rows.lengths if isinstance(rows, TokenTable) else np.array([len(row.input_ids) for row in rows], np.int64)


def _batch(rows: Sequence[TokenizedExample], files: dict[str, int]) -> pa.RecordBatch:
    columns = {
        "input_ids": pa.array([row.input_ids for row in rows], pa.large_list(pa.int32())),
        "prompt_length": pa.array([row.prompt_length for row in rows], pa.int32()),
        "cut": pa.array([row.cut for row in rows], pa.int32()),
        "answer_cut": pa.array([int(row.answer_cut) for row in rows], pa.uint8()),
        "merged": pa.array([int(row.merged) for row in rows], pa.uint8()),
        "file": pa.array([files.setdefault(row.origin.file, len(files)) for row in rows], pa.int32()),
        "line": pa.array([row.origin.line for row in rows], pa.int64()),
        "target": pa.array([row.target for row in rows]),
    }
    return pa.RecordBatch.from_pydict(columns)


def _stored(batches: Iterable[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """The same batches, in one buffer or in a file that is mapped."""
    with tempfile.SpooledTemporaryFile(max_size=BYTES_IN_MEMORY) as file:
        writer: Any = None
        for batch in batches:
            writer = writer or ipc.new_stream(pa.PythonFile(file, mode="w"), batch.schema)
            writer.write_batch(batch)
        if writer is None:
            return []
        writer.close()
        size = file.tell()
        file.seek(0)
        buffer = file.read() if size <= BYTES_IN_MEMORY else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return list(ipc.open_stream(pa.py_buffer(buffer)))


def _columns(batch: pa.RecordBatch) -> _Columns:
    ids = batch.column("input_ids")
    return _Columns(
        tokens=ids.values.to_numpy(),
        offsets=ids.offsets.to_numpy(),
        prompt_lengths=batch.column("prompt_length").to_numpy(),
        cut=batch.column("cut").to_numpy(),
        answer_cut=batch.column("answer_cut").to_numpy(),
        merged=batch.column("merged").to_numpy(),
        files=batch.column("file").to_numpy(),
        lines=batch.column("line").to_numpy(),
        targets=batch.column("target"),
    )


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)
