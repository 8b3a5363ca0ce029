"""A head gives each word a tag, at the first of the word's tokens."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import accumulate
from typing import Any, NamedTuple

import torch

from graft.data.columns import TEXTS, first_of
from graft.data.columns.tagged import OUTSIDE, SPANS, TAGS, WORDS, tagged_words
from graft.data.example import Example, TaggedExample, expect
from graft.data.pipeline import Prepared
from graft.data.tokenize import TokenizedExample
from graft.data.values import listed_names
from graft.data.words import words_to_tag
from graft.errors import InputError, Problems
from graft.evaluation.metrics.base import Need
from graft.inference.predictor import Predictor, Progress, Within
from graft.models.load import Kind
from graft.tasks.base import Task
from graft.tasks.batching import IGNORED, Batch, TaskPredictor, pad, pad_inputs
from graft.tasks.encoding import Encoding
from graft.tasks.label_space import LabelSpace
from graft.tasks.snippet import Usage, loading, python
from graft.training.objective import Objective


class TokenClassification(Task):
    """Words to tags, one for each word."""

    name = "token-classification"
    title = "token classification"
    help = "A head tags each word: named entities, parts of speech."
    aliases = ("ner",)
    kinds: tuple[Kind, ...] = ("encoder", "causal")
    priority = 30
    head_suffix = "ForTokenClassification"
    export_targets = ("onnx-encoder", "hf")
    auto_class = "AutoModelForTokenClassification"
    learning_rates: Mapping[str, float] = {"lora": 1e-3, "qlora": 1e-3, "full": 1e-4}
    uses: frozenset[str] = frozenset({"label_names"})
    recognize = staticmethod(tagged_words)

    def fits(self, columns: Sequence[str], row: Mapping[str, Any], kind: Kind | None = None) -> bool:
        """Return whether there are words with tags, or a text with spans."""
        tagged = first_of(columns, WORDS) is not None and first_of(columns, TAGS) is not None
        return tagged or (first_of(columns, TEXTS) is not None and first_of(columns, SPANS) is not None)

    def label_space(self, data: Prepared) -> LabelSpace:
        """Return all tags of the training rows, and the I- tag of each kind that has a B- tag."""
        tags = {tag for example in data.train for tag in expect(example, TaggedExample).tags}
        tags |= {f"I-{tag[2:]}" for tag in tags if tag.startswith("B-")}
        names = sorted(tags, key=lambda tag: (tag != OUTSIDE, tag[2:] if tag[1:2] == "-" else tag, tag))
        if len(names) < 2:
            raise InputError(
                f"training requires at least two different tags; the rows have {names}", where=data.source.path
            )
        return LabelSpace(tuple(names))

    def encode(self, examples: Iterable[Example], encoding: Encoding, problems: Problems) -> Iterator[TokenizedExample]:
        """Yield the words' tokens with a tag index at each word's first token and -100 at the others."""
        place = {name: index for index, name in enumerate(encoding.label_space.names)}
        known = f"known: {listed_names(encoding.label_space.names)}"
        for row in examples:
            example = expect(row, TaggedExample)
            unknown = sorted(set(example.tags) - set(place))
            if unknown:
                problems.add(f"the training rows have no tag {listed_names(unknown)}", str(example.origin), known)
                continue
            yield _encoded(example, encoding, place)

    def preview(self, row: TokenizedExample, encoding: Encoding) -> tuple[str, str]:
        """Return the text as the model reads it, and each tagged token with its tag: ``Rome/B-city``."""
        tokens = encoding.tokenizer.convert_ids_to_tokens(row.input_ids)
        marked = [
            f"{token}/{encoding.label_space.names[tag]}"
            for token, tag in zip(tokens, row.target, strict=True)
            if tag >= 0
        ]
        return encoding.tokenizer.decode(row.input_ids), " ".join(marked)

    def objective(self, label_space: LabelSpace) -> Objective:
        """Return cross-entropy over the tags, at the first token of each word."""
        losses = {"class-weighted": "graft.tasks.losses:ClassWeighted"}
        return Objective(collate, outputs, names=label_space.names, losses=losses)

    def predictor(self, name: str, model: Any, encoding: Encoding, within: Within = nullcontext) -> Predictor:
        """Return a ``Tagger``, which answers with a tag for each word."""
        return Tagger(name, model, encoding, within)

    def provides(self, label_space: LabelSpace) -> tuple[Need, ...]:
        """Return ``generation`` alone: the likelihood of tags is not defined."""
        return ("generation",)

    def default_metrics(self, label_space: LabelSpace) -> tuple[str, ...] | None:
        """Return F1, precision and recall over whole entities, then accuracy over tags."""
        return ("entity_f1", "entity_precision", "entity_recall", "tag_accuracy")

    def snippet(self, usage: Usage) -> str:
        """Return code that uses transformers' pipeline, where the first token decides the tag of its word."""
        lines = [
            *loading(usage, self.auto_class, also=["pipeline"]),
            "",
            'tag = pipeline("token-classification", model=model, tokenizer=tokenizer)',
            f'found = tag({python(usage.text)}, aggregation_strategy="first")',
            'print([(part["word"], part["entity_group"]) for part in found])',
        ]
        return "\n".join(lines)


TOKEN_CLASSIFICATION = TokenClassification()


def _encoded(example: TaggedExample, encoding: Encoding, place: Mapping[str, int]) -> TokenizedExample:
    ids, firsts, cut = align(encoding.tokenizer, example.words, encoding.max_length)
    target = [IGNORED] * len(ids)
    for tag, first in zip(example.tags, firsts, strict=True):
        if first is not None:
            target[first] = place[tag]
    return TokenizedExample(ids, len(ids), example.origin, cut, target)


def words_of(example: Example) -> Sequence[str]:
    """Return the words to tag; of a text that is typed in a chat, those of ``words_to_tag``."""
    return example.words if isinstance(example, TaggedExample) else words_to_tag(example.input_text)


class Aligned(NamedTuple):
    """The tokens of some words.

    Attributes:
        ids: The token ids of the words with a blank between them.
        firsts: The index of each word's first token; None for a word without one, because it was cut off or consists
            of characters that the tokenizer drops.
        cut: The number of tokens beyond the limit, which were cut off.
    """

    ids: list[int]
    firsts: list[int | None]
    cut: int


def align(tokenizer: Any, words: Sequence[str], max_length: int) -> Aligned:
    """Tokenize ``words`` and find the first token of each.

    Tokens are assigned to words by their offsets in the text, so any fast tokenizer works, however it treats blanks.
    """
    text = " ".join(words)
    found = tokenizer(text, truncation=True, max_length=max_length, return_offsets_mapping=True)
    ends = [end - 1 for end in accumulate(len(word) + 1 for word in words)]
    firsts: list[int | None] = [None] * len(words)
    for place, (start, stop) in enumerate(found["offset_mapping"]):
        visible = stop - len(text[start:stop].lstrip())
        if visible < stop:  # otherwise it is a special token, or a blank
            word = bisect_right(ends, visible)
            if firsts[word] is None:
                firsts[word] = place
    ids = list(found["input_ids"])
    whole = len(tokenizer(text)["input_ids"]) if len(ids) >= max_length else len(ids)
    return Aligned(ids, firsts, max(0, whole - max_length))


def collate(rows: Sequence[TokenizedExample], pad_token_id: int) -> Batch:
    """Return inputs and ``labels`` (rows, longest): the tag at each word's first token, -100 elsewhere."""
    return {
        **pad_inputs([row.input_ids for row in rows], pad_token_id),
        "labels": pad([row.target for row in rows], IGNORED),
    }


def outputs(model: Any, batch: Mapping[str, Any]) -> tuple[torch.Tensor, ...]:
    """Return the logits of all tagged tokens (tokens, tags), and their tags (tokens)."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    trained = batch["labels"] != IGNORED
    return logits[trained].float(), batch["labels"][trained]


class Tagger(TaskPredictor):
    """Answers with a tag for each word, with blanks between them."""

    no_scores = ("likelihoods are not defined for tags", "--metrics entity_f1")

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        """Return a tag for each word, separated by blanks; ``max_new_tokens`` is ignored.

        A word without a token, or beyond the limit, gets ``O`` where that is a tag, otherwise the first tag.
        """
        names = self.encoding.label_space.names
        outside = OUTSIDE if OUTSIDE in names else names[0]
        aligned = [align(self.tokenizer, words_of(example), self.encoding.max_length) for example in examples]
        rows = [TokenizedExample(text.ids, 0, e.origin) for text, e in zip(aligned, examples, strict=True)]
        answers = [""] * len(examples)
        for places, batch in self.batches(rows, progress):
            best = self.model(**self.inputs([row.input_ids for row in batch])).logits.argmax(-1).tolist()
            for place, tags in zip(places, best, strict=True):
                firsts = aligned[place].firsts
                answers[place] = " ".join(outside if first is None else names[tags[first]] for first in firsts)
        return answers

    def shown(self, example: Example, answer: str) -> str:
        """Return each word with its tag: ``Rome/B-city``."""
        return " ".join(f"{word}/{tag}" for word, tag in zip(words_of(example), answer.split(), strict=True))
