"""A bundle's graph in onnxruntime itself, for many prompts: their common prefix once, the answers in batches.

onnxruntime-genai generates answers, but gives no likelihoods, and reads a shared prefix again for each prompt. This
runs the same ``model.onnx``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.documents import REMEDY, shown
from graft.errors import InputError, need_extra, refusing
from graft.export.onnx.genai_folder import GENAI_CONFIG, DecoderRecord, read_decoder
from graft.inference.predictor import CompletionScore, Progress
from graft.processes import without_telemetry
from graft.runs.paths import path_inside

Ids = Sequence[int]
Floats = NDArray[np.float32]
IsDone = Callable[[Sequence[int]], bool]
KVCache = list[Floats]
"""The keys and values of each layer in turn, each (rows, heads, length, d)."""

SHORTEST_PREFIX = 16
ROWS_AT_ONCE = 16


class _Prompt(NamedTuple):
    """A prompt without the prefix that all share, behind that prefix's KV cache."""

    cache: KVCache | None
    rest: Ids


class _Started(NamedTuple):
    """A prompt that was read: its place among the prompts, the first token of its answer, and its KV cache."""

    row: int
    token: int
    cache: KVCache


class OnnxSession:
    """The ``model.onnx`` of a bundle with at most one of its adapters.

    GroupQueryAttention on the CPU takes several tokens of one row behind a cache, or one token of several rows. So
    prompts are read one by one behind their common prefix, and answers are generated in batches.

    Args:
        folder: The bundle.
        adapter: The file of the adapter.

    Raises:
        MissingExtra: If onnxruntime is not installed.
        InputError: If a file of the bundle is damaged, or onnxruntime does not load it.
    """

    def __init__(self, folder: Path, adapter: Path | None = None) -> None:
        try:
            without_telemetry()
            import onnxruntime
        except ImportError as error:
            raise need_extra("cpu", "onnxruntime") from error
        decoder = read_decoder(folder)
        self._file = path_inside(decoder.filename, folder, "the graph")
        options = onnxruntime.SessionOptions()
        # Threads that spin while they wait take the cores from other work, such as numpy's products.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = open_graph(self._file, options)
        self._name_caches(decoder)
        self._run_options = onnxruntime.RunOptions()
        if adapter is not None:
            self._adapter = onnxruntime.LoraAdapter()
            with refusing("onnxruntime cannot load this adapter", adapter, REMEDY):
                self._adapter.Load(str(adapter))
            self._run_options.add_active_adapter(self._adapter)

    def _name_caches(self, decoder: DecoderRecord) -> None:
        """The names, the type and the empty shape of the graph's KV caches, as genai_config.json has them."""
        self._empty = (1, decoder.num_key_value_heads, 0, decoder.head_size)
        self._past, self._outputs = decoder.past, ["logits", *decoder.present]
        types = {entry.name: entry.type for entry in self._session.get_inputs()}
        outputs = {entry.name for entry in self._session.get_outputs()}
        missing = [name for name in self._past if name not in types]
        missing += [name for name in self._outputs if name not in outputs]
        if missing:
            what = f"the graph has no input or output {shown(missing[0])}, which {GENAI_CONFIG} names"
            raise InputError(what, where=str(self._file), remedy=REMEDY)
        self._inputs = set(types)
        self._float = np.float16 if "float16" in types[self._past[0]] else np.float32

    def run(self, ids: NDArray[np.int64], cache: KVCache | None, lengths: NDArray[np.int64]) -> tuple[Floats, KVCache]:
        """Run the graph once.

        Args:
            ids: New tokens (rows, new).
            cache: The KV cache of what is before them.
            lengths: The length of each row with its new tokens (rows); rows are padded on the right.

        Returns:
            The logits (rows, new, vocabulary) and the KV cache with the new tokens.

        Raises:
            InputError: If onnxruntime cannot run the graph, or the shape of its logits does not fit the tokens.
        """
        with refusing("onnxruntime cannot run this graph", self._file, REMEDY):
            logits, *present = self._session.run(self._outputs, self._feed(ids, cache, lengths), self._run_options)
        if logits.ndim != 3 or logits.shape[:2] != ids.shape:
            what = f"the logits of {ids.shape} tokens have the shape {logits.shape}"
            raise InputError(what, where=str(self._file), remedy=REMEDY)
        return logits.astype(np.float32, copy=False), present

    def _feed(self, ids: NDArray[np.int64], cache: KVCache | None, lengths: NDArray[np.int64]) -> dict[str, Any]:
        rows, new = ids.shape
        before = cache[0].shape[2] if cache else 0
        mask = (np.arange(before + new)[None, :] < lengths[:, None]).astype(np.int64)
        empty: NDArray[Any] = np.zeros((rows, *self._empty[1:]), self._float)
        feed: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        feed |= dict(zip(self._past, cache or [empty] * len(self._past), strict=True))
        if "position_ids" in self._inputs:
            feed["position_ids"] = np.maximum(lengths[:, None] - new, 0) + np.arange(new)[None, :]
            if cache is None:
                feed["position_ids"] = np.broadcast_to(np.arange(new), (rows, new)).copy()
        return feed

    def read(self, ids: Ids, cache: KVCache | None = None) -> tuple[Floats, KVCache]:
        """Run one row behind ``cache``: the logits (new, vocabulary), and the KV cache with the new tokens."""
        before = cache[0].shape[2] if cache else 0
        logits, present = self.run(np.array([ids], np.int64), cache, np.array([before + len(ids)]))
        return logits[0], present

    def last_logits(self, prompts: Sequence[Ids]) -> Floats:
        """The logits after each prompt (rows, vocabulary)."""
        return np.stack([self.read(prompt)[0][-1] for prompt in prompts])

    def score(
        self, prompts: Sequence[Ids], completions: Sequence[Sequence[Ids]], progress: Progress | None = None
    ) -> list[list[CompletionScore]]:
        """The likelihood of each completion of each prompt."""
        found = []
        for place, prompt in enumerate(self._behind_prefix(prompts)):
            answers = completions[place]
            if len(answers) == 1:
                logits, _ = self.read([*prompt.rest, *answers[0][:-1]], prompt.cache)
                found.append([_scored(logits[len(prompt.rest) - 1 :], answers[0])])
            else:
                logits, present = self.read(prompt.rest, prompt.cache)
                found.append(self._alternatives(logits[-1:], present, answers))
            if progress:
                progress(place + 1, len(prompts))
        return found

    def generate(
        self,
        prompts: Sequence[Ids],
        max_new_tokens: int,
        ends: Collection[int],
        progress: Progress | None = None,
        is_done: IsDone | None = None,
    ) -> list[list[int]]:
        """The greedy continuation of each prompt, up to an end token (not included) or ``max_new_tokens``.

        ``is_done`` tells of an answer, as its token ids so far, whether it ends here.
        """
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        found: list[list[int]] = [[] for _ in prompts]
        batch: list[_Started] = []
        for place, prompt in enumerate(self._behind_prefix([prompts[index] for index in order])):
            logits, present = self.read(prompt.rest, prompt.cache)
            batch.append(_Started(order[place], int(logits[-1].argmax()), present))
            if len(batch) == ROWS_AT_ONCE or place == len(order) - 1:
                for started, answer in zip(batch, self._decode(batch, max_new_tokens, set(ends), is_done), strict=True):
                    found[started.row] = answer
                batch = []
                if progress:
                    progress(place + 1, len(prompts))
        return found

    def _behind_prefix(self, prompts: Sequence[Ids]) -> Iterator[_Prompt]:
        prefix = _common_prefix(prompts) if len(prompts) > 1 else 0
        cache = self.read(prompts[0][:prefix])[1] if prefix >= SHORTEST_PREFIX else None
        start = prefix if cache else 0
        for prompt in prompts:
            yield _Prompt(cache, prompt[start:])

    def _alternatives(self, first: Floats, cache: KVCache, answers: Sequence[Ids]) -> list[CompletionScore]:
        """Scores of several continuations of one row; those of two tokens, as most labels are, in one run."""
        found = {i: _scored(first, answer) for i, answer in enumerate(answers) if len(answer) == 1}
        pairs = [i for i, answer in enumerate(answers) if len(answer) == 2]
        if pairs:
            rows = [np.repeat(layer, len(pairs), axis=0) for layer in cache]
            lengths = np.full(len(pairs), cache[0].shape[2] + 1)
            logits, _ = self.run(np.array([[answers[i][0]] for i in pairs], np.int64), rows, lengths)
            for place, i in enumerate(pairs):
                found[i] = _scored(np.concatenate([first, logits[place]]), answers[i])
        for i, answer in enumerate(answers):
            if i not in found:
                logits, _ = self.read(answer[:-1], cache)
                found[i] = _scored(np.concatenate([first, logits]), answer)
        return [found[i] for i in range(len(answers))]

    def _decode(self, batch: Sequence[_Started], limit: int, ends: set[int], is_done: IsDone | None) -> list[list[int]]:
        """The answers of rows that were read; a finished row leaves the batch."""
        answers: list[list[int]] = [[] for _ in batch]
        tokens = [started.token for started in batch]
        lengths = np.array([started.cache[0].shape[2] for started in batch])
        alive = list(range(len(batch)))
        cache = _stacked([started.cache for started in batch])
        for step in range(limit):
            going = [place for place, token in enumerate(tokens) if token not in ends]
            for place in going:
                answers[alive[place]].append(tokens[place])
            if is_done is not None:
                going = [place for place in going if not is_done(answers[alive[place]])]
            if not going or step == limit - 1:
                break
            if len(going) < len(alive):
                cache = [layer[going] for layer in cache]
                lengths, alive = lengths[going], [alive[place] for place in going]
            lengths = lengths + 1
            logits, cache = self.run(np.array([[tokens[place]] for place in going], np.int64), cache, lengths)
            tokens = logits[:, -1].argmax(-1).tolist()
        return answers


def open_graph(file: Path, options: Any) -> Any:
    """Load a graph on the CPU; onnxruntime itself refuses weights outside the folder of the graph.

    Args:
        file: The file of the graph.
        options: ``onnxruntime.SessionOptions``.

    Raises:
        InputError: If onnxruntime does not load it.
    """
    without_telemetry()
    import onnxruntime

    options.log_severity_level = 4
    with refusing("onnxruntime cannot load this file", file, REMEDY):
        # Without the fallback, which prints to stdout and tries the same again.
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"], enable_fallback=0)


def _stacked(caches: Sequence[KVCache]) -> KVCache:
    """The caches of several rows as one, padded on the right to the longest."""
    longest = max(cache[0].shape[2] for cache in caches)

    def padded(layer: Floats) -> Floats:
        """layer (1, heads, tokens, d) -> (1, heads, longest, d), with zeros on the right."""
        return np.pad(layer, ((0, 0), (0, 0), (0, longest - layer.shape[2]), (0, 0)))

    return [np.concatenate([padded(cache[number]) for cache in caches]) for number in range(len(caches[0]))]


def _common_prefix(prompts: Sequence[Ids]) -> int:
    """The number of tokens that all prompts begin with, at least one token less than the shortest has."""
    first, last = min(map(list, prompts)), max(map(list, prompts))
    limit = min(map(len, prompts)) - 1
    return next((i for i in range(limit) if first[i] != last[i]), limit)


def _scored(logits: Floats, answer: Ids) -> CompletionScore:
    """The score of ``answer`` by ``logits`` (tokens, vocabulary), which begin before its first token."""
    rows = logits[: len(answer)].astype(np.float64)
    top = rows.max(-1, keepdims=True)
    nats = rows[np.arange(len(answer)), list(answer)] - top[:, 0] - np.log(np.exp(rows - top).sum(-1))
    return CompletionScore(float(nats.sum()), len(answer), bool((rows.argmax(-1) == np.array(answer)).all()))
