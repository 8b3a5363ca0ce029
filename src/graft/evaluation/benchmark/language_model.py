"""A predictor as the harness's language model.

Tokens, windows and cuts are those of the harness's own ``HFLM``, so that log-likelihoods are, too. What differs is how
they are computed: the choices of a question are scored together, and questions that begin alike, as those with the same
few-shot examples, share one computation of that beginning.

This module imports lm-eval; ``graft.evaluation.benchmark.harness`` says where it is not installed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from lm_eval import utils
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import postprocess_generated_text

from graft.errors import InputError
from graft.evaluation.benchmark.generation import limits_of
from graft.evaluation.benchmark.stop import Stop
from graft.inference.predictor import Progress, TokenPredictor
from graft.progress import Reporter

DEFAULT_LENGTH = 2048
LARGEST_LENGTH = 10**9
"""A tokenizer says a larger number where it does not know one."""

TokenRequest = tuple[Any, list[int], list[int]]
"""What the request is kept by, the tokens of its context, and those of its continuation."""


class PredictorLM(TemplateLM):  # type: ignore[misc]
    """A predictor as the harness's language model.

    Args:
        predictor: The model.
        reporter: Shows the progress.
        max_length: The number of tokens that it reads; by default what the model says.
    """

    def __init__(self, predictor: TokenPredictor, reporter: Reporter, max_length: int | None = None) -> None:
        super().__init__()
        self.predictor, self.tokenizer, self.reporter = predictor, predictor.tokenizer, reporter
        self.max_length = max_length or _length(predictor)
        self.bos = self.tokenizer.decode(self.prefix_token_id)

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """The token before a text that has no context."""
        begin = self.tokenizer.bos_token_id
        return int(self.tokenizer.eos_token_id if begin is None else begin)

    @property
    def tokenizer_name(self) -> str:
        """The tokenizer's name."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Return token ids; a text that begins with the first token gets no second one."""
        if add_special_tokens is None:
            add_special_tokens = not string.startswith(self.bos)
        found: list[int] = self.tokenizer.encode(string, add_special_tokens=add_special_tokens)
        return found

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return a conversation as the chat template renders it; without a system message where it takes none."""
        try:
            return self._rendered(chat_history, add_generation_prompt)
        except jinja2.TemplateError:
            rest = [message for message in chat_history if message["role"] != "system"]
            return self._rendered(rest, add_generation_prompt)

    def _rendered(self, messages: Sequence[Mapping[str, str]], prompts: bool) -> str:
        text: str = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=prompts, continue_final_message=not prompts
        )
        return text

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Return the log-likelihood in nats of each continuation, and whether greedy decoding writes it."""
        found: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return found

    def _loglikelihood_tokens(self, requests: Sequence[TokenRequest], **_: Any) -> list[tuple[float, bool]]:
        prompts: dict[tuple[int, ...], dict[tuple[int, ...], None]] = defaultdict(dict)
        asked = []
        for _key, context, continuation in requests:
            whole = (context + continuation)[-(self.max_length + 1) :]
            prompt, answer = tuple(whole[: -len(continuation)]), tuple(continuation)
            if not prompt:
                what = f"a continuation of {len(continuation):,} tokens is longer than the model reads"
                raise InputError(what, where=self.predictor.name, remedy="give a larger --max_length")
            prompts[prompt][answer] = None
            asked.append((prompt, answer))
        progress = self._progress("scoring")
        scored = self.predictor.score_ids(list(prompts), [list(each) for each in prompts.values()], progress)
        found = {
            (prompt, answer): (score.log_likelihood, score.is_greedy)
            for (prompt, answers), row in zip(prompts.items(), scored, strict=True)
            for answer, score in zip(answers, row, strict=True)
        }
        return [found[each] for each in asked]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[float]:
        """Return the log-likelihood of each whole text, in windows of what the model reads."""
        windows: list[TokenRequest] = []
        counts = []
        for (text,) in (request.args for request in requests):
            own = list(
                map(
                    utils.make_disjoint_window,
                    utils.get_rolling_token_windows(
                        token_list=self.tok_encode(text),
                        prefix_token=self.prefix_token_id,
                        max_seq_len=self.max_length,
                        context_len=1,
                    ),
                )
            )
            windows += [(None, list(context), list(rest)) for context, rest in own]
            counts.append(len(own))
        scored = iter(self._loglikelihood_tokens(windows))
        return [sum(next(scored)[0] for _ in range(count)) for count in counts]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
        """Return greedy answers, each up to the first of its stop sequences, which is left out."""
        groups: dict[tuple[int, tuple[str, ...]], list[int]] = defaultdict(list)
        for index, (_, given) in enumerate(request.args for request in requests):
            groups[limits_of(given)].append(index)
        answers = [""] * len(requests)
        for (most, until), members in groups.items():
            room = self.max_length - most
            if room < 1:
                what = f"a task asks for answers of {most:,} tokens, and the model reads {self.max_length:,}"
                raise InputError(what, where=self.predictor.name, remedy=f"--gen_kwargs max_gen_toks={room - 1 + most}")
            prompts = [self.tok_encode(requests[index].args[0])[-room:] for index in members]
            stop = Stop(until, self._text) if until else None
            written = self.predictor.generate_ids(prompts, most, stop, self._progress("answering"))
            for index, ids in zip(members, written, strict=True):
                answers[index] = postprocess_generated_text(self._text(ids), list(until), None)
        return answers

    def _progress(self, what: str) -> Progress:
        said = f"{self.predictor.name}: {what}"
        return lambda done, total: self.reporter.advance(said, done, total)

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text


def _length(predictor: TokenPredictor) -> int:
    said = predictor.context_length or getattr(predictor.tokenizer, "model_max_length", None)
    return int(said) if said is not None and said < LARGEST_LENGTH else DEFAULT_LENGTH
