"""Likelihoods of given texts from a server whose ``/completions`` repeats its prompt with log-probabilities.

vLLM and others that have ``echo`` and ``logprobs`` do; most others refuse it, or leave the log-probabilities out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from graft.errors import GraftError, InputError
from graft.inference.endpoint import Endpoint, finished
from graft.inference.http import HttpClient, RefusedRequest
from graft.inference.predictor import CompletionScore, Progress
from graft.runs.record import Record

NEEDS = "it takes a server whose /v1/completions has echo and logprobs, such as vLLM; others can be asked for answers"


class _LogprobsRecord(Record):
    token_logprobs: list[float | None]
    text_offset: list[int]
    top_logprobs: list[dict[str, float] | None] | None = None


class _EchoChoiceRecord(Record):
    text: str = ""
    logprobs: _LogprobsRecord | None = None


class _EchoRecord(Record):
    choices: list[_EchoChoiceRecord] = Field(min_length=1)


class EchoScorer:
    """Asks a server how likely continuations are.

    Args:
        model: The model's name on the server.
        endpoint: The server.
    """

    def __init__(self, model: str, endpoint: Endpoint) -> None:
        self.model, self.endpoint = model, endpoint

    def score(self, texts: Sequence[tuple[str, str]], progress: Progress | None = None) -> list[CompletionScore]:
        """Return how likely the second text of each pair is after the first, which is not empty.

        A token that the two texts share is counted with the second: a server cuts the texts as one.

        Raises:
            InputError: If the server does not give the likelihoods of given texts.
            GraftError: If a request fails after all tries.
        """
        return finished(self._all(texts, progress))

    async def _all(self, texts: Sequence[tuple[str, str]], progress: Progress | None) -> list[CompletionScore]:
        found: dict[int, CompletionScore] = {}
        queue = iter(enumerate(texts))
        async with self.endpoint.client() as client:

            async def work(waiting: Iterator[tuple[int, tuple[str, str]]]) -> None:
                for index, (context, continuation) in waiting:
                    found[index] = await self._one(client, context, continuation)
                    if progress is not None:
                        progress(len(found), len(texts))

            workers = [asyncio.ensure_future(work(queue)) for _ in range(self.endpoint.limits.concurrency)]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        return [found[index] for index in range(len(texts))]

    async def _one(self, client: HttpClient, context: str, continuation: str) -> CompletionScore:
        body: Mapping[str, Any] = {
            **self.endpoint.body,
            "model": self.model,
            "prompt": context + continuation,
            "max_tokens": 1,  # many servers refuse 0; the new token is left out below
            "temperature": 0,
            "logprobs": 1,
            "echo": True,
        }
        try:
            answer = await client.post("/completions", body, _EchoRecord)
        except RefusedRequest as error:
            what = f"this server does not score given texts: {error.problems[0].what}"
            raise InputError(what, where=self.endpoint.server.base, remedy=NEEDS) from None
        scores = answer.choices[0].logprobs
        if scores is None or not scores.token_logprobs or len(scores.text_offset) != len(scores.token_logprobs):
            what = "this server gives no likelihoods of given texts"
            raise InputError(what, where=self.endpoint.server.base, remedy=NEEDS)
        return self._scored(scores, len(context), len(context) + len(continuation))

    def _scored(self, scores: _LogprobsRecord, start: int, stop: int) -> CompletionScore:
        """Sum over the tokens with a letter from ``start`` on and before ``stop``."""
        ends = [*scores.text_offset[1:], stop + 1]
        own = [
            place
            for place, (begin, end) in enumerate(zip(scores.text_offset, ends, strict=True))
            if begin < stop and end > start
        ]
        values = [scores.token_logprobs[place] for place in own]
        if not own or any(value is None for value in values):
            what = "this server did not repeat the text that it was asked to score"
            raise GraftError(what, where=self.endpoint.server.base, remedy=NEEDS)
        best = scores.top_logprobs or [None] * len(scores.token_logprobs)
        tops = [max((best[place] or {}).values(), default=None) for place in own]
        known = [(value, top) for value, top in zip(values, tops, strict=True) if value is not None]
        greedy = all(top is not None and value >= top for value, top in known)
        return CompletionScore(sum(value for value, _ in known), len(own), greedy)
