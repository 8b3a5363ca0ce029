"""A PyTorch model as a predictor. Base and tuned share one model in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from graft.data.chat_template import Renderer
from graft.data.example import Example
from graft.data.tokenize import candidate_token_ids, prompt_token_ids
from graft.documents import REMEDY, shown
from graft.errors import InputError
from graft.inference.lengths import check_lengths
from graft.inference.predictor import CompletionScore, Progress, Within
from graft.models.families import positions


@contextmanager
def evaluation_mode(model: Any, within: Within) -> Iterator[Any]:
    """Yield ``model`` without dropout, in the context that ``within`` gives; restore it afterwards."""
    training = model.training
    model.eval()
    try:
        with within():
            yield model
    finally:
        model.train(training)


class TorchPredictor:
    """A causal language model on the engine's own generation and scoring.

    Args:
        name: The predictor's name in the results.
        model: A model of transformers or PEFT.
        tokenizer: Its tokenizer.
        renderer: Formats examples as the text that the model reads.
        within: A context for predictions; it makes a tuned model behave like its base (``Method.disabled``).
    """

    def __init__(self, name: str, model: Any, tokenizer: Any, renderer: Renderer, within: Within = nullcontext) -> None:
        self.name, self.model, self.tokenizer, self.renderer, self.within = name, model, tokenizer, renderer, within

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        """Return greedy answers by the engine, in batches that compute a shared prefix once."""
        from graft.engine import generate

        prompts = [prompt_token_ids(example, self.renderer) for example in examples]
        self._check_lengths(examples, [len(prompt) + 1 for prompt in prompts])
        with evaluation_mode(self.model, self.within) as model:
            answers = generate(model, prompts, max_new_tokens, self.ends(), self.tokenizer.pad_token_id, progress)
        return [self.renderer.answer_text(answer) for answer in answers]

    def score(
        self,
        examples: Sequence[Example],
        completions: Sequence[Sequence[str]],
        progress: Progress | None = None,
    ) -> list[list[CompletionScore]]:
        """Return likelihoods by the engine; completions are scored as the chat template renders them."""
        from graft.engine import score

        prompts = [prompt_token_ids(example, self.renderer) for example in examples]
        answers = candidate_token_ids(examples, completions, self.renderer)
        longest = [max(map(len, given), default=0) for given in answers]
        self._check_lengths(examples, [len(p) + more for p, more in zip(prompts, longest, strict=True)])
        with evaluation_mode(self.model, self.within) as model:
            found = score(model, prompts, answers, progress)
        return [[CompletionScore(*scored) for scored in row] for row in found]

    def generate_ids(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        is_done: Callable[[Sequence[int]], bool] | None = None,
        progress: Progress | None = None,
    ) -> list[list[int]]:
        """Return greedy answers to prompts of token ids, as ``TokenPredictor`` says."""
        from graft.engine import generate

        with evaluation_mode(self.model, self.within) as model:
            pad = self.tokenizer.pad_token_id
            return generate(model, prompts, max_new_tokens, self.ends(), pad, progress, is_done)

    def score_ids(
        self,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[Sequence[int]]],
        progress: Progress | None = None,
    ) -> list[list[CompletionScore]]:
        """Return likelihoods of token ids; a prefix that many prompts share is computed once for a batch of them."""
        from graft.engine import score

        with evaluation_mode(self.model, self.within) as model:
            found = score(model, prompts, completions, progress, by_prefix=True)
        return [[CompletionScore(*scored) for scored in row] for row in found]

    @property
    def context_length(self) -> int | None:
        """The number of tokens that the model reads, by its configuration; None where that does not say."""
        config = getattr(self.model.config, "text_config", None) or self.model.config
        named = (getattr(config, name, None) for name in ("n_positions", "max_position_embeddings", "n_ctx"))
        return next((int(found) for found in named if found is not None), None)

    def _check_lengths(self, examples: Sequence[Example], lengths: Sequence[int]) -> None:
        check_lengths(examples, lengths, positions(self.model.config))

    def ends(self) -> set[int]:
        """Return every token that ends an answer: the tokenizer's, those of the model's own list, the end of a turn.

        Raises:
            InputError: If the model's list has anything other than token IDs.
        """
        listed = getattr(self.model.generation_config, "eos_token_id", None)
        own = listed if isinstance(listed, list) else [listed]
        if any(end is not None and (isinstance(end, bool) or not isinstance(end, int)) for end in own):
            what = f"'eos_token_id' of the generation settings is {shown(listed)}; expected token IDs"
            raise InputError(what, where=str(self.model.name_or_path), remedy=REMEDY)
        ends = set(own)
        ends |= {self.tokenizer.eos_token_id, self.tokenizer.convert_tokens_to_ids(self.renderer.turn_end)}
        return {int(end) for end in ends if end is not None}
