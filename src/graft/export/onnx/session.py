"""A bundle's graph read many prompts at a time: what they share once, the answers' tokens in batches.

onnxruntime-genai makes answers, but gives no likelihoods, and reads a shared prefix again for each prompt. This runs
the same ``model.onnx`` in onnxruntime itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.errors import need_extra

Ids = Sequence[int]
Progress = Callable[[int, int], None]
Scored = tuple[float, int, bool]
Floats = NDArray[np.float32]
Past = list[Floats]
"""Keys and values of each layer in turn, each (rows, heads, length, d)."""

SHORTEST_PREFIX = 16
ROWS_AT_ONCE = 16


class OnnxSession:
    """``model.onnx`` of a bundle with, at will, one of its adapters.

    Attention over a cache takes several tokens of one row, or one token of several rows (GroupQueryAttention on the
    CPU): so prompts are read row by row behind their common prefix, and answers are written in batches.
    """

    def __init__(self, folder: Path, adapter: Path | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise need_extra("cpu", "onnxruntime") from error
        config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]
        decoder = config["decoder"]
        self.layers = int(decoder["num_hidden_layers"])
        self._empty = (1, int(decoder["num_key_value_heads"]), 0, int(decoder["head_size"]))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        # Threads that spin while they wait take the cores from whatever else runs, numpy's products first of all.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = str(folder / decoder["filename"])
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        caches = range(self.layers)
        self._past = [decoder["inputs"][f"past_{kind}_names"] % i for i in caches for kind in ("key", "value")]
        present = [decoder["outputs"][f"present_{kind}_names"] % i for i in caches for kind in ("key", "value")]
        self._outputs = ["logits", *present]
        types = {entry.name: entry.type for entry in self._session.get_inputs()}
        self._float = np.float16 if "float16" in types[self._past[0]] else np.float32
        self._run_options = onnxruntime.RunOptions()
        if adapter is not None:
            self._adapter = onnxruntime.LoraAdapter()
            self._adapter.Load(str(adapter))
            self._run_options.add_active_adapter(self._adapter)

    def run(self, ids: NDArray[np.int64], past: Past | None, lengths: NDArray[np.int64]) -> tuple[Floats, Past]:
        """Read ``ids`` (rows, new) behind ``past``; row i is ``lengths[i]`` tokens long with them, padded on the right.

        Returns logits (rows, new, vocabulary) and the new past.
        """
        logits, *present = self._session.run(self._outputs, self._feed(ids, past, lengths), self._run_options)
        return logits.astype(np.float32, copy=False), present

    def _feed(self, ids: NDArray[np.int64], past: Past | None, lengths: NDArray[np.int64]) -> dict[str, Any]:
        rows, new = ids.shape
        before = past[0].shape[2] if past else 0
        mask = (np.arange(before + new)[None, :] < lengths[:, None]).astype(np.int64)
        empty: NDArray[Any] = np.zeros((rows, *self._empty[1:]), self._float)
        feed: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        feed |= dict(zip(self._past, past or [empty] * len(self._past), strict=True))
        if "position_ids" in self._inputs:
            feed["position_ids"] = np.maximum(lengths[:, None] - new, 0) + np.arange(new)[None, :]
            if past is None:
                feed["position_ids"] = np.broadcast_to(np.arange(new), (rows, new)).copy()
        return feed

    def read(self, ids: Ids, past: Past | None = None) -> tuple[Floats, Past]:
        """One row behind ``past``: logits (new, vocabulary), the new past."""
        before = past[0].shape[2] if past else 0
        logits, present = self.run(np.array([ids], np.int64), past, np.array([before + len(ids)]))
        return logits[0], present

    def last_logits(self, prompts: Sequence[Ids]) -> Floats:
        """The logits after each prompt (rows, vocabulary)."""
        return np.stack([self.read(prompt)[0][-1] for prompt in prompts])

    def score(
        self, prompts: Sequence[Ids], completions: Sequence[Sequence[Ids]], progress: Progress | None = None
    ) -> list[list[Scored]]:
        """For each completion of each prompt: nats, tokens, and whether greedy generation would write just this."""
        found = []
        for past, rest, done in self._behind_prefix(prompts):
            answers = completions[done]
            if len(answers) == 1:
                logits, _ = self.read([*rest, *answers[0][:-1]], past)
                found.append([_scored(logits[len(rest) - 1 :], answers[0])])
            else:
                logits, present = self.read(rest, past)
                found.append(self._alternatives(logits[-1:], present, answers))
            if progress:
                progress(done + 1, len(prompts))
        return found

    def generate(
        self,
        prompts: Sequence[Ids],
        max_new_tokens: int,
        ends: Collection[int],
        progress: Progress | None = None,
    ) -> list[list[int]]:
        """The likeliest continuation of each prompt up to an end token (left out) or the limit."""
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        found: list[list[int]] = [[] for _ in prompts]
        batch: list[tuple[int, int, Past]] = []
        for past, rest, place in self._behind_prefix([prompts[index] for index in order]):
            logits, present = self.read(rest, past)
            batch.append((order[place], int(logits[-1].argmax()), present))
            if len(batch) == ROWS_AT_ONCE or place == len(order) - 1:
                for (index, _, _), answer in zip(batch, self._decode(batch, max_new_tokens, set(ends)), strict=True):
                    found[index] = answer
                batch = []
                if progress:
                    progress(place + 1, len(prompts))
        return found

    def _behind_prefix(self, prompts: Sequence[Ids]) -> Iterator[tuple[Past | None, Ids, int]]:
        """(the common prefix's past, the rest of the prompt, its place) for each prompt."""
        prefix = _common_prefix(prompts) if len(prompts) > 1 else 0
        past = self.read(prompts[0][:prefix])[1] if prefix >= SHORTEST_PREFIX else None
        start = prefix if past else 0
        for place, prompt in enumerate(prompts):
            yield past, prompt[start:], place

    def _alternatives(self, first: Floats, past: Past, answers: Sequence[Ids]) -> list[Scored]:
        """Scores of several continuations of one row; those of two tokens, as labels mostly are, in one pass."""
        found: dict[int, Scored] = {i: _scored(first, answer) for i, answer in enumerate(answers) if len(answer) == 1}
        pairs = [i for i, answer in enumerate(answers) if len(answer) == 2]
        if pairs:
            rows = [np.repeat(cache, len(pairs), axis=0) for cache in past]
            lengths = np.full(len(pairs), past[0].shape[2] + 1)
            logits, _ = self.run(np.array([[answers[i][0]] for i in pairs], np.int64), rows, lengths)
            for place, i in enumerate(pairs):
                found[i] = _scored(np.concatenate([first, logits[place]]), answers[i])
        for i, answer in enumerate(answers):
            if i not in found:
                logits, _ = self.read(answer[:-1], past)
                found[i] = _scored(np.concatenate([first, logits]), answer)
        return [found[i] for i in range(len(answers))]

    def _decode(self, batch: Sequence[tuple[int, int, Past]], limit: int, ends: set[int]) -> list[list[int]]:
        """Answers of rows that were read: (index, first token, past) each."""
        answers: list[list[int]] = [[] for _ in batch]
        tokens = [token for _, token, _ in batch]
        lengths = np.array([past[0].shape[2] for _, _, past in batch])
        alive = list(range(len(batch)))
        past = _stacked([entry[2] for entry in batch])
        for step in range(limit):
            going = [place for place, token in enumerate(tokens) if token not in ends]
            for place in going:
                answers[alive[place]].append(tokens[place])
            if not going or step == limit - 1:
                break
            if len(going) < len(alive):
                past = [cache[going] for cache in past]
                lengths, alive = lengths[going], [alive[place] for place in going]
            lengths = lengths + 1
            logits, past = self.run(np.array([[tokens[place]] for place in going], np.int64), past, lengths)
            tokens = logits[:, -1].argmax(-1).tolist()
        return answers


def _stacked(pasts: Sequence[Past]) -> Past:
    """The rows' caches as one, padded on the right to the longest."""
    longest = max(past[0].shape[2] for past in pasts)

    def padded(cache: Floats) -> Floats:
        return np.pad(cache, ((0, 0), (0, 0), (0, longest - cache.shape[2]), (0, 0)))

    return [np.concatenate([padded(past[number]) for past in pasts]) for number in range(len(pasts[0]))]


def _common_prefix(prompts: Sequence[Ids]) -> int:
    """Tokens that all prompts begin with; one at least is left of each."""
    first, last = min(map(list, prompts)), max(map(list, prompts))
    limit = min(map(len, prompts)) - 1
    return next((i for i in range(limit) if first[i] != last[i]), limit)


def _scored(logits: Floats, answer: Ids) -> Scored:
    """``logits`` (tokens, vocabulary) from before the answer's first token on."""
    rows = logits[: len(answer)].astype(np.float64)
    top = rows.max(-1, keepdims=True)
    nats = rows[np.arange(len(answer)), list(answer)] - top[:, 0] - np.log(np.exp(rows - top).sum(-1))
    return float(nats.sum()), len(answer), bool((rows.argmax(-1) == np.array(answer)).all())
