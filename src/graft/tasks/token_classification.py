"""A head gives each word a tag; a word of several tokens is tagged at its first."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch

from graft.data.columns import TEXTS, first_of
from graft.data.example import Example, TaggedExample, expect
from graft.data.labeled_columns import OUTSIDE, SPANS, TAGS, WORDS, tagged_words
from graft.data.pipeline import Prepared
from graft.data.tokenize import TokenizedExample
from graft.errors import InputError, Problems
from graft.evaluation.metrics.base import Need
from graft.inference.predictor import CompletionScore, Predictor, Progress
from graft.models.load import Kind
from graft.tasks.batching import IGNORED, Batch, evaluating, in_batches, padded, placed, read
from graft.tasks.encoding import Encoding
from graft.tasks.label_space import LabelSpace
from graft.training.objective import Objective


class TokenClassification:
    name = "token-classification"
    kinds: tuple[Kind, ...] = ("encoder", "causal")
    auto_class = "AutoModelForTokenClassification"
    learning_rates: Mapping[str, float] = {"lora": 1e-3, "qlora": 1e-3, "full": 1e-4}
    uses: frozenset[str] = frozenset()
    recognize = staticmethod(tagged_words)

    def fits(self, columns: Sequence[str], row: Mapping[str, Any]) -> bool:
        tagged = first_of(columns, WORDS) is not None and first_of(columns, TAGS) is not None
        return tagged or (first_of(columns, TEXTS) is not None and first_of(columns, SPANS) is not None)

    def label_space(self, data: Prepared) -> LabelSpace:
        """All tags of the training rows, and B- and I- of each kind where one of the two occurs."""
        tags = {tag for example in data.train for tag in expect(example, TaggedExample).tags}
        tags |= {f"I-{tag[2:]}" for tag in tags if tag.startswith("B-")}
        names = sorted(tags, key=lambda tag: (tag != OUTSIDE, tag[2:] if tag[1:2] == "-" else tag, tag))
        if len(names) < 2:
            raise InputError(f"there is nothing to choose from: the only tag is {names}", where=data.source.path)
        return LabelSpace(tuple(names))

    def encode(self, examples: Sequence[Example], encoding: Encoding, problems: Problems) -> list[TokenizedExample]:
        place = {name: index for index, name in enumerate(encoding.label_space.names)}
        rows = []
        for row in examples:
            example = expect(row, TaggedExample)
            unknown = sorted(set(example.tags) - set(place))
            if unknown:
                known = f"they have: {', '.join(encoding.label_space.names)}"
                problems.add(f"the training rows have no tag {', '.join(unknown)}", str(example.origin), known)
                continue
            ids, firsts = align(encoding.tokenizer, example.words, encoding.max_length)
            target = [IGNORED] * len(ids)
            for tag, first in zip(example.tags, firsts, strict=True):
                if first is not None:
                    target[first] = place[tag]
            cut = sum(first is None for first in firsts)
            rows.append(TokenizedExample(ids, len(ids), example.origin, cut, target))
        return rows

    def preview(self, row: TokenizedExample, encoding: Encoding) -> tuple[str, str]:
        tokens = encoding.tokenizer.convert_ids_to_tokens(row.input_ids)
        marked = [
            f"{token}/{encoding.label_space.names[tag]}"
            for token, tag in zip(tokens, row.target, strict=True)
            if tag >= 0
        ]
        return encoding.tokenizer.decode(row.input_ids), " ".join(marked)

    def objective(self, label_space: LabelSpace) -> Objective:
        losses = {"class-weighted": "graft.tasks.losses:ClassWeighted"}
        return Objective(collate, outputs, names=label_space.names, losses=losses)

    def predictor(self, name: str, model: Any, encoding: Encoding, adapter: bool | None = None) -> Predictor:
        return Tagger(name, model, encoding, adapter)

    def provides(self, label_space: LabelSpace) -> tuple[Need, ...]:
        return ("generation",)

    def default_metrics(self, label_space: LabelSpace) -> tuple[str, ...] | None:
        return ("entity_f1", "entity_precision", "entity_recall", "tag_accuracy")


TOKEN_CLASSIFICATION = TokenClassification()


def align(tokenizer: Any, words: Sequence[str], max_length: int) -> tuple[list[int], list[int | None]]:
    """The tokens of the words with a blank between them, and the place of each word's first token.

    None where a word has no token of its own: it was cut off, or is nothing to the tokenizer. Tokens belong to words by
    their places in the text, so that any fast tokenizer will do, whatever it makes of blanks.
    """
    text = " ".join(words)
    found = tokenizer(text, truncation=True, max_length=max_length, return_offsets_mapping=True)
    ends = [end - 1 for end in accumulate(len(word) + 1 for word in words)]
    firsts: list[int | None] = [None] * len(words)
    for place, (start, stop) in enumerate(found["offset_mapping"]):
        visible = stop - len(text[start:stop].lstrip())
        if visible < stop:  # else it is a mark of the model's own, or a blank
            word = bisect_right(ends, visible)
            if firsts[word] is None:
                firsts[word] = place
    return list(found["input_ids"]), firsts


def collate(rows: Sequence[TokenizedExample], pad_token_id: int) -> Batch:
    """``labels`` (rows, longest): the tag at each word's first token, -100 elsewhere."""
    return {
        **read([row.input_ids for row in rows], pad_token_id),
        "labels": padded([row.target for row in rows], IGNORED),
    }


def outputs(model: Any, batch: Mapping[str, Any]) -> tuple[torch.Tensor, ...]:
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    trained = batch["labels"] != IGNORED
    return logits[trained].float(), batch["labels"][trained]


class Tagger:
    """An answer is a tag for each word, with blanks between them."""

    def __init__(self, name: str, model: Any, encoding: Encoding, adapter: bool | None) -> None:
        self.name, self.model, self.encoding, self.adapter = name, model, encoding, adapter
        self.tokenizer = encoding.tokenizer
        names = encoding.label_space.names
        self.otherwise = OUTSIDE if OUTSIDE in names else names[0]

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        tokenizer, names = self.encoding.tokenizer, self.encoding.label_space.names
        aligned = [
            align(tokenizer, expect(example, TaggedExample).words, self.encoding.max_length) for example in examples
        ]
        rows = [TokenizedExample(ids, 0, e.origin) for (ids, _), e in zip(aligned, examples, strict=True)]
        answers = [""] * len(examples)
        with evaluating(self.model, self.adapter) as model:
            for places, batch in in_batches(rows, progress):
                inputs = read([row.input_ids for row in batch], tokenizer.pad_token_id)
                best = model(**placed(model, inputs)).logits.argmax(-1).tolist()
                for place, tags in zip(places, best, strict=True):
                    firsts = aligned[place][1]
                    answers[place] = " ".join(self.otherwise if f is None else names[tags[f]] for f in firsts)
        return answers

    def score(
        self,
        examples: Sequence[Example],
        completions: Sequence[Sequence[str]],
        progress: Progress | None = None,
    ) -> list[list[CompletionScore]]:
        raise InputError("the likelihood of tags is not measured", where="--metrics", remedy="--metrics entity_f1")
