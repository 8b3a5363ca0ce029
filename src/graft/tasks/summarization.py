"""An encoder–decoder (T5, BART) reads a text and writes another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from graft.config import DataSettings
from graft.data.columns import ColumnMapping, recognize
from graft.data.example import Example
from graft.data.pipeline import Prepared
from graft.data.readers import Row
from graft.data.spool import in_parts
from graft.data.tokenize import ROWS_AT_ONCE, TokenizedExample
from graft.errors import Problems
from graft.evaluation.metrics.base import Need
from graft.inference.predictor import CompletionScore, Predictor, Progress, Within
from graft.models.load import Kind
from graft.tasks.base import TEMPLATES, Task
from graft.tasks.batching import IGNORED, Batch, TaskPredictor, Tokenized, pad, pad_inputs, tokenize_texts
from graft.tasks.encoding import Encoding
from graft.tasks.label_space import LabelSpace
from graft.tasks.snippet import Usage, loading, python
from graft.training.objective import Objective

PREFIX = "summarize:"
"""T5's prefix for texts to summarize (Raffel et al. 2020, "Exploring the Limits of Transfer Learning", appendix D)."""


class Summarization(Task):
    """A text to another, such as its summary or translation."""

    name = "summarization"
    title = "summarization"
    help = "An encoder-decoder model (T5, BART) reads a text and writes another."
    aliases = ("text2text-generation",)
    kinds: tuple[Kind, ...] = ("encoder-decoder",)
    default_for: tuple[Kind, ...] = ("encoder-decoder",)
    priority = 60
    two_texts = True
    export_targets = ("hf",)
    auto_class = "AutoModelForSeq2SeqLM"
    learning_rates: Mapping[str, float] = {"lora": 1e-3, "qlora": 1e-3, "full": 1e-4}
    uses: frozenset[str] = TEMPLATES | {"system_prompt", "instruction", "max_new_tokens", "normalize"}

    def fits(self, columns: Sequence[str], row: Mapping[str, Any], kind: Kind | None = None) -> bool:
        """Return False: an encoder-decoder model does this task by default, and columns alone never ask for it."""
        return False

    def recognize(
        self,
        rows: Sequence[Row],
        settings: DataSettings,
        generation_prompt: str | None = None,
        labels: list[str] | None = None,
    ) -> ColumnMapping:
        """As for text generation. A text with its summary gets T5's own prefix, unless an instruction is given."""
        mapping = recognize(rows, settings, generation_prompt, labels)
        if mapping.kind == "text/summary" and settings.instruction is None:
            given = settings.model_copy(update={"instruction": PREFIX})
            return recognize(rows, given, generation_prompt, labels)
        return mapping

    def label_space(self, data: Prepared) -> LabelSpace:
        """Return an empty label space: the answer is text."""
        return LabelSpace()

    def encode(self, examples: Iterable[Example], encoding: Encoding, problems: Problems) -> Iterator[TokenizedExample]:
        """Source and target, one after the other, each of at most ``max_length`` tokens."""
        for part in in_parts(examples, ROWS_AT_ONCE):
            yield from _encoded(part, [example.reference for example in part], encoding)

    def preview(self, row: TokenizedExample, encoding: Encoding) -> tuple[str, str]:
        """Return source and target, decoded with their special tokens."""
        source, target = row.parts
        return encoding.tokenizer.decode(source), encoding.tokenizer.decode(target)

    def objective(self, label_space: LabelSpace) -> Objective:
        """Return the cross-entropy of the target's tokens, which the decoder reads shifted by one."""
        return Objective(collate, outputs)

    def predictor(self, name: str, model: Any, encoding: Encoding, within: Within = nullcontext) -> Predictor:
        """Return a ``Seq2SeqPredictor``, which answers by greedy decoding."""
        return Seq2SeqPredictor(name, model, encoding, within)

    def provides(self, label_space: LabelSpace) -> tuple[Need, ...]:
        """Return all three needs: answers are generated, and any text can be scored."""
        return ("generation", "choice", "likelihood")

    def default_metrics(self, label_space: LabelSpace) -> tuple[str, ...] | None:
        """Return None: the answers decide, as for text generation."""
        return None

    def snippet(self, usage: Usage) -> str:
        """Return code that writes an answer of at most 128 tokens by greedy decoding."""
        lines = [
            *loading(usage, self.auto_class),
            "",
            f'inputs = tokenizer({python(usage.text)}, return_tensors="pt")',
            "output = model.generate(**inputs, max_new_tokens=128, do_sample=False)",
            "print(tokenizer.decode(output[0], skip_special_tokens=True))",
        ]
        return "\n".join(lines)


SUMMARIZATION = Summarization()


def _encoded(examples: Sequence[Example], completions: Sequence[str], encoding: Encoding) -> Iterator[TokenizedExample]:
    sources = _ended(encoding, [example.input_text for example in examples])
    targets = _ended(encoding, completions)
    for example, source, target in zip(examples, sources, targets, strict=True):
        ids, cut = [*source.ids, *target.ids], max(source.cut, target.cut)
        yield TokenizedExample(ids, len(source.ids), example.origin, cut, answer_cut=target.cut > 0)


def _ended(encoding: Encoding, texts: Sequence[str]) -> Iterator[Tokenized]:
    """Yield the tokens of each text, the end token behind them."""
    end = encoding.tokenizer.eos_token_id
    longest = encoding.max_length
    for ids, cut in tokenize_texts(encoding.tokenizer, texts, longest):
        if ids[-1] == end:
            yield Tokenized(ids, cut)
        else:
            yield Tokenized([*ids[: longest - 1], end], max(0, len(ids) + cut + 1 - longest))


def collate(rows: Sequence[TokenizedExample], pad_token_id: int) -> Batch:
    """Return inputs and ``labels`` (rows, longest target), -100 on padding."""
    pairs = [row.parts for row in rows]
    return {
        **pad_inputs([source for source, _ in pairs], pad_token_id),
        "labels": pad([target for _, target in pairs], IGNORED),
    }


def _logits(model: Any, batch: Mapping[str, Any]) -> torch.Tensor:
    """Return logits (rows, longest target, vocabulary). The decoder reads the labels, shifted by one."""
    found: torch.Tensor = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"], use_cache=False
    ).logits
    return found.float()


def outputs(model: Any, batch: Mapping[str, Any]) -> tuple[torch.Tensor, ...]:
    """Return the logits of all target tokens (tokens, vocabulary), and those tokens (tokens)."""
    trained = batch["labels"] != IGNORED
    return _logits(model, batch)[trained], batch["labels"][trained]


class Seq2SeqPredictor(TaskPredictor):
    """Greedy answers of an encoder-decoder model, and the likelihood of given ones."""

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        """Return greedy answers, decoded without special tokens and surrounding blanks."""
        rows = list(_encoded(examples, [""] * len(examples), self.encoding))
        answers = [""] * len(rows)
        for places, batch in self.batches(rows, progress):
            inputs = self.inputs([row.parts[0] for row in batch])
            written = self.model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1)
            for place, ids in zip(places, written, strict=True):
                answers[place] = self.tokenizer.decode(ids, skip_special_tokens=True).strip()
        return answers

    def score(
        self,
        examples: Sequence[Example],
        completions: Sequence[Sequence[str]],
        progress: Progress | None = None,
    ) -> list[list[CompletionScore]]:
        """Return the likelihood of each completion as the decoder's target, the end token included."""
        asked = [(place, text) for place, texts in enumerate(completions) for text in texts]
        rows = list(_encoded([examples[place] for place, _ in asked], [text for _, text in asked], self.encoding))
        scores = [CompletionScore(0.0, 0)] * len(rows)
        for places, batch in self.batches(rows, progress):
            for place, score in zip(places, self._scores(batch), strict=True):
                scores[place] = score
        found: list[list[CompletionScore]] = [[] for _ in examples]
        for (place, _), score in zip(asked, scores, strict=True):
            found[place].append(score)
        return found

    def _scores(self, rows: Sequence[TokenizedExample]) -> list[CompletionScore]:
        batch = self.to_device(collate(rows, self.tokenizer.pad_token_id))
        nats = _logits(self.model, batch).log_softmax(-1)
        labels = batch["labels"]
        chosen = nats.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
        counted = labels != IGNORED
        greedy = ((nats.argmax(-1) == labels) | ~counted).all(-1)
        return [
            CompletionScore(float(row[mask].sum()), int(mask.sum()), bool(best))
            for row, mask, best in zip(chosen, counted, greedy, strict=True)
        ]
