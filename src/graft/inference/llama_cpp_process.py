"""``python -m graft.inference.llama_cpp_process FILE [LORA]``: answers for ``LlamaCpp``, a line of JSON each."""

from __future__ import annotations

import http.client
import json
import secrets
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from graft.inference.worker import serve

SMALLEST_CONTEXT = 256
GREEDY = {"temperature": 0.0, "samplers": ["temperature"], "return_tokens": True, "stream": False}
FORCED = 1e6
"""A bias that outweighs any logit: the token that has it is the next one."""

Progress = Callable[[int, int], None]
Ids = Sequence[int]


class Refused(Exception):
    """llama.cpp answered a question with an error."""


class Served:
    """What the process can be asked.

    llama.cpp's own server, which the wheel ``xllamacpp`` has inside, is asked over HTTP on 127.0.0.1 with a random key.
    It starts at the first question with the context that the question needs, and again for a longer one: the cache of
    a whole context of 128k tokens would fill the memory.
    """

    def __init__(self, file: str, lora: str | None, threads: int) -> None:
        self.file, self.lora, self.threads = file, lora, threads
        self._key = secrets.token_hex(16)
        self._server: Any = None
        self._context = 0
        self._model: dict[str, Any] | None = None
        self._whole: int | None = None

    # ---- what LlamaCpp asks

    def model(self, progress: Progress) -> dict[str, Any]:
        """The number of tokens in the vocabulary and of positions in the context, and the chat template."""
        return self._described()

    def tokenize(self, progress: Progress, texts: Sequence[str], special: bool, begin: bool) -> list[list[int]]:
        """As ``LlamaCpp.tokenize``."""
        asked = [{"content": text, "parse_special": special, "add_special": begin} for text in texts]
        return [self._post("/tokenize", one)["tokens"] for one in asked]

    def detokenize(self, progress: Progress, rows: Sequence[Ids]) -> list[str]:
        """The text of each row of ids."""
        return [self._post("/detokenize", {"tokens": list(ids)})["content"] for ids in rows]

    def apply_template(self, progress: Progress, conversations: Sequence[Any]) -> list[str]:
        """Each conversation as the file's chat template renders it, up to where the model is to answer."""
        return [self._post("/apply-template", {"messages": list(messages)})["prompt"] for messages in conversations]

    def first_logprobs(self, progress: Progress, prompts: Sequence[Ids]) -> list[list[float]]:
        """The log-probabilities (vocabulary) after each prompt, in the order of the ids."""
        self._fit(max(map(len, prompts), default=0) + 1)
        return [self._distribution(prompt, cached=False) for prompt in prompts]

    def generate(self, progress: Progress, prompts: Sequence[Ids], max_new_tokens: int, ends: Ids) -> list[list[int]]:
        """The greedy answer to each prompt, up to one of ``ends`` or of the file's own end tokens."""
        self._fit(max(map(len, prompts), default=0) + max_new_tokens)
        answers = []
        for number, prompt in enumerate(prompts):
            answers.append(self._answer(prompt, max_new_tokens, set(ends)))
            progress(number + 1, len(prompts))
        return answers

    def score(self, progress: Progress, prompts: Sequence[Ids], completions: Sequence[Sequence[Ids]]) -> Any:
        """For each prompt the sum of log-probabilities, the tokens, and whether greedy, of each of its completions."""
        longest = (len(p) + max(map(len, c), default=0) for p, c in zip(prompts, completions, strict=True))
        self._fit(max(longest, default=0) + 1)
        found = []
        for number, (prompt, texts) in enumerate(zip(prompts, completions, strict=True)):
            # The first completion reads the prompt anew: what was asked before must not change the last digits.
            found.append([self._scored(prompt, ids, cached=place > 0) for place, ids in enumerate(texts)])
            progress(number + 1, len(prompts))
        return found

    # ---- one row

    def _answer(self, prompt: Ids, max_new_tokens: int, ends: set[int]) -> list[int]:
        said = self._complete(prompt, n_predict=max_new_tokens, cache_prompt=False)
        ids: list[int] = said["tokens"]
        if said["stop_type"] == "eos":
            ids = ids[:-1]
        stop = next((place for place, token in enumerate(ids) if token in ends), len(ids))
        return ids[:stop]

    def _scored(self, prompt: Ids, completion: Ids, cached: bool) -> tuple[float, int, bool]:
        total, greedy = 0.0, True
        for place, token in enumerate(completion):
            read = [*prompt, *completion[:place]]
            one, best = self._forced(read, token, cached or place > 0)
            total, greedy = total + one, greedy and best == token
        return total, len(completion), greedy

    def _forced(self, read: Ids, token: int, cached: bool) -> tuple[float, int]:
        """The log-probability of ``token`` after ``read``, and the likeliest token there."""
        said = self._complete(read, n_predict=1, n_probs=1, logit_bias=[[token, FORCED]], cache_prompt=cached)
        listed = said.get("completion_probabilities", [])
        if listed:
            return _number(listed[0]["logprob"]), listed[0]["top_logprobs"][0]["id"]
        values = self._distribution(read, cached=True)  # a part of a character, for which the server lists nothing
        return values[token], max(range(len(values)), key=values.__getitem__)

    def _distribution(self, read: Ids, cached: bool) -> list[float]:
        """The log-probability of each token after ``read``. They are the model's own, before any bias."""
        size = self._described()["vocabulary"]
        bias = [[self._whole_token(), FORCED]]
        said = self._complete(read, n_predict=1, n_probs=size, logit_bias=bias, cache_prompt=cached)
        values = [float("-inf")] * size
        for one in said["completion_probabilities"][0]["top_logprobs"]:
            values[one["id"]] = _number(one["logprob"])
        return values

    def _whole_token(self) -> int:
        """A token of whole characters: the server lists probabilities only where its text can be shown."""
        if self._whole is None:
            self._whole = self._post("/tokenize", {"content": "a", "add_special": False})["tokens"][-1]
        return self._whole

    def _complete(self, ids: Ids, **options: Any) -> Any:
        return self._post("/completion", {"prompt": list(ids), **GREEDY, **options})

    # ---- the server

    def _described(self) -> dict[str, Any]:
        if self._model is None:
            self._fit(SMALLEST_CONTEXT)
            meta = self._get("/v1/models")["data"][0]["meta"]
            template = self._get("/props").get("chat_template", "")
            self._model = {"vocabulary": meta["n_vocab"], "positions": meta["n_ctx_train"], "chat_template": template}
        return self._model

    def _fit(self, tokens: int) -> None:
        """Start the server with a context of ``tokens`` or more, unless it runs with one."""
        if self._server is not None and tokens <= self._context:
            return
        self._context = max(SMALLEST_CONTEXT, 1 << (tokens - 1).bit_length())
        self._server = None  # frees the memory of the shorter one first
        self._server = _start(self.file, self.lora, self.threads, self._context, self._key)

    def _post(self, path: str, body: Any) -> Any:
        return self._ask("POST", path, json.dumps(body))

    def _get(self, path: str) -> Any:
        return self._ask("GET", path, None)

    def _ask(self, method: str, path: str, body: str | None) -> Any:
        self._fit(self._context or SMALLEST_CONTEXT)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(self._server.listening_address.removeprefix("http://"))
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            said = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise Refused(str(said.get("error", {}).get("message", said)))
        return said


def _number(value: float | None) -> float:
    """``value``; JSON has no word for what is not a number, and the server says null."""
    return float("nan") if value is None else value


def _start(file: str, lora: str | None, threads: int, context: int, key: str) -> Any:
    """llama.cpp's server with the cache in float32 and one row at a time, so that equal questions get equal answers."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = file
    params.port, params.api_keys = 0, [key]
    params.n_ctx, params.n_parallel, params.n_gpu_layers = context, 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.fit_params = params.warmup = params.ui = False
    params.swa_full = True  # the whole cache of sliding windows, so that a prompt's beginning can be kept
    params.cache_ram_mib = 0
    if lora is not None:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = lora, 1.0
        params.lora_adapters = [adapter]
    return xllamacpp.Server(params)


def main() -> NoReturn:
    """Answer the questions of ``LlamaCpp`` until stdin closes."""
    file, threads, *more = sys.argv[1:]
    serve(lambda: Served(file, more[0] if more else None, int(threads)), Refused)


if __name__ == "__main__":
    main()
