"""A head on the model gives a text one of the classes, or decides for each class whether it applies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from graft.data.cells import decoded
from graft.data.columns import LABELS, TEXTS, first_of
from graft.data.columns.labeled import labeled_texts
from graft.data.example import ClassExample, Example, MultiLabelExample, expect, labels_text
from graft.data.pipeline import Prepared
from graft.data.spool import in_parts
from graft.data.tokenize import ROWS_AT_ONCE, TokenizedExample
from graft.errors import InputError, Problems
from graft.evaluation.metrics.base import Need
from graft.inference.predictor import CompletionScore, Predictor, Progress, Within
from graft.models.load import Kind
from graft.tasks.base import TEMPLATES, Task
from graft.tasks.batching import Batch, TaskPredictor, pad_inputs, tokenize_texts
from graft.tasks.encoding import Encoding
from graft.tasks.label_space import LabelSpace
from graft.tasks.snippet import Usage, loading, python
from graft.training.objective import Objective

SEVERAL = "multi_label_classification"
UNLIKELY = -50.0
"""Log-likelihood, in nats, of a class that the head does not know."""


class TextClassification(Task):
    """A text to one class, or to any number of labels."""

    name = "text-classification"
    title = "text classification"
    help = "A classification head gives a text one class, or any number of labels."
    aliases = ("sequence-classification",)
    kinds: tuple[Kind, ...] = ("encoder", "causal")
    default_for: tuple[Kind, ...] = ("encoder",)
    priority = 40
    head_suffix = "ForSequenceClassification"
    export_targets = ("onnx-encoder", "hf")
    auto_class = "AutoModelForSequenceClassification"
    learning_rates: Mapping[str, float] = {"lora": 1e-3, "qlora": 1e-3, "full": 1e-4}
    uses: frozenset[str] = TEMPLATES | {"label_names", "label_separator", "label_columns"}
    recognize = staticmethod(labeled_texts)

    def fits(self, columns: Sequence[str], row: Mapping[str, Any], kind: Kind | None = None) -> bool:
        """Return whether the first row has a text and a list of labels, and no words to tag."""
        label = first_of(columns, LABELS)
        several = label is not None and isinstance(decoded(row.get(label)), list)
        return first_of(columns, TEXTS) is not None and several and "tokens" not in columns

    def label_space(self, data: Prepared) -> LabelSpace:
        """Return the classes of the training rows, or the labels where a row may have several."""
        if data.mapping.names is not None:
            return _checked(LabelSpace(tuple(data.mapping.names), SEVERAL), data)
        if data.mapping.labels is None:
            answers = {example.reference for example in data.train}
            raise InputError(
                f"--task text-classification requires classes, but {len(data.train):,} rows have {len(answers):,} "
                "different answers",
                where=data.source.path,
                remedy="omit --task to train the model to write the answers, or give rows with text and label",
            )
        return _checked(LabelSpace(tuple(data.mapping.labels), "single_label_classification"), data)

    def encode(self, examples: Iterable[Example], encoding: Encoding, problems: Problems) -> Iterator[TokenizedExample]:
        """Yield the text's tokens with a class index, or with 0 and 1 for each label, as the target."""
        known = ", ".join(encoding.label_space.names)
        for part in in_parts(examples, ROWS_AT_ONCE):
            texts = tokenize_texts(encoding.tokenizer, [example.input_text for example in part], encoding.max_length)
            for example, (ids, cut) in zip(part, texts, strict=True):
                try:
                    target = _target(example, encoding.label_space)
                except KeyError as error:
                    problems.add(f"the training rows have no class {error}", str(example.origin), f"known: {known}")
                    continue
                yield TokenizedExample(ids, len(ids), example.origin, cut, target)

    def preview(self, row: TokenizedExample, encoding: Encoding) -> tuple[str, str]:
        """Return the text as the model reads it, and the names of its class or labels."""
        chosen = [row.target] if isinstance(row.target, int) else [i for i, held in enumerate(row.target) if held]
        return encoding.tokenizer.decode(row.input_ids), ", ".join(
            encoding.label_space.names[index] for index in chosen
        )

    def objective(self, label_space: LabelSpace) -> Objective:
        """Return cross-entropy over the classes; with several labels a row, binary cross-entropy for each label."""
        several = label_space.problem == SEVERAL
        own = "graft.tasks.losses:"
        losses = {"class-weighted": f"{own}{'LabelWeighted' if several else 'ClassWeighted'}"}
        loss = "cross-entropy"
        if several:
            loss, losses["cross-entropy"] = f"{own}binary_cross_entropy", f"{own}binary_cross_entropy"
        return Objective(collate, outputs, loss, names=label_space.names, losses=losses)

    def predictor(self, name: str, model: Any, encoding: Encoding, within: Within = nullcontext) -> Predictor:
        """Return a ``Classifier``, which answers with the names of classes."""
        return Classifier(name, model, encoding, within)

    def provides(self, label_space: LabelSpace) -> tuple[Need, ...]:
        """Return all three needs for single classes; ``generation`` alone for several labels a row."""
        return ("generation",) if label_space.problem == SEVERAL else ("generation", "choice", "likelihood")

    def default_metrics(self, label_space: LabelSpace) -> tuple[str, ...] | None:
        """Return accuracy and macro F1 for single classes; F1 over labels and exact match for several labels a row."""
        return ("label_f1", "exact_match") if label_space.problem == SEVERAL else ("accuracy", "macro_f1")

    def snippet(self, usage: Usage) -> str:
        """Return code that uses transformers' pipeline; with several labels a row, it prints the score of each."""
        options = ", top_k=None" if usage.label_space.problem == SEVERAL else ""
        lines = [
            *loading(usage, self.auto_class, also=["pipeline"]),
            "",
            'classify = pipeline("text-classification", model=model, tokenizer=tokenizer)',
            f"print(classify({python(usage.text)}{options}))",
        ]
        return "\n".join(lines)


TEXT_CLASSIFICATION = TextClassification()


def _checked(label_space: LabelSpace, data: Prepared) -> LabelSpace:
    if len(label_space.names) < 2:
        raise InputError(
            f"training requires at least two different classes; the rows have {list(label_space.names)}",
            where=data.source.path,
        )
    return label_space


def _target(example: Example, label_space: LabelSpace) -> int | list[float]:
    """Return the index of the class, or 0 and 1 for each label.

    Raises:
        KeyError: If the head lacks the class.
    """
    place = {name: index for index, name in enumerate(label_space.names)}
    if label_space.problem != SEVERAL:
        return place[expect(example, ClassExample).label]
    chosen = {place[name] for name in expect(example, MultiLabelExample).labels}
    return [float(index in chosen) for index in range(len(place))]


def collate(rows: Sequence[TokenizedExample], pad_token_id: int) -> Batch:
    """Return inputs and ``labels``: a class for each row (rows), or 0 and 1 for each label (rows, classes)."""
    return {
        **pad_inputs([row.input_ids for row in rows], pad_token_id),
        "labels": torch.tensor([row.target for row in rows]),
    }


def outputs(model: Any, batch: Mapping[str, Any]) -> tuple[torch.Tensor, ...]:
    """Return the logits (rows, classes) and the labels, as ``collate`` makes them."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits.float(), batch["labels"]


class Classifier(TaskPredictor):
    """Scores are the head's log-probabilities, an answer is the class it chooses."""

    no_scores = ("likelihoods are not defined for rows with several labels", "--metrics label_f1")

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        """Answer with the class; with several labels a row, with the JSON list of those above one half."""
        names = self.encoding.label_space.names
        logits = self._logits(examples, progress)
        if self.encoding.label_space.problem != SEVERAL:
            return [names[index] for index in logits.argmax(-1).tolist()]
        chosen = [sorted(names[index] for index in row.nonzero().flatten().tolist()) for row in logits > 0]
        return [labels_text(labels) for labels in chosen]

    def score(
        self,
        examples: Sequence[Example],
        completions: Sequence[Sequence[str]],
        progress: Progress | None = None,
    ) -> list[list[CompletionScore]]:
        """Return the log-probability of each completion that is a class, and ``UNLIKELY`` for any other text.

        Raises:
            InputError: If a row may have several labels, whose likelihood is not defined.
        """
        if self.encoding.label_space.problem == SEVERAL:
            return super().score(examples, completions, progress)
        logits = self._logits(examples, progress)
        nats, best = logits.log_softmax(-1), logits.argmax(-1).tolist()
        return [
            [self._scored(row, first, answer) for answer in answers]
            for row, first, answers in zip(nats, best, completions, strict=True)
        ]

    def _scored(self, nats: torch.Tensor, best: int, answer: str) -> CompletionScore:
        names = self.encoding.label_space.names
        if answer not in names:
            return CompletionScore(UNLIKELY, 1)
        index = names.index(answer)
        return CompletionScore(float(nats[index]), 1, index == best)

    def _logits(self, examples: Sequence[Example], progress: Progress | None) -> torch.Tensor:
        """Return the head's outputs, (examples, classes)."""
        texts = tokenize_texts(self.tokenizer, [e.input_text for e in examples], self.encoding.max_length)
        rows = [TokenizedExample(text.ids, 0, e.origin) for text, e in zip(texts, examples, strict=True)]
        found = torch.empty(len(rows), len(self.encoding.label_space.names))
        for places, batch in self.batches(rows, progress):
            found[places] = self.model(**self.inputs([row.input_ids for row in batch])).logits.float().cpu()
        return found
