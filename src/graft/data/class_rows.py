"""Texts with one class each, as cheap classifiers take them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from graft.data.classes import folded_label
from graft.data.example import MultiLabelExample, Origin, PairExample, TaggedExample
from graft.data.example_set import ExampleSet, first_places, pair_hashes
from graft.data.text_classifier import Features, Labels, Unshared, vectorizer

MOST_ROWS = 10_000
"""Rows that are looked at; of more, so many are sampled."""


@dataclass(frozen=True)
class ClassRows:
    """Texts and their classes; each pair of both is there once.

    Attributes:
        texts: The texts, without what all prompts share.
        labels: The class of each, as its place in ``names``.
        names: The classes, sorted. Labels that differ only in their spelling are one.
        origins: Where the rows are.
        total: The number of rows of which these were sampled.
    """

    texts: list[str]
    labels: Labels
    names: list[str]
    origins: list[Origin]
    total: int

    @property
    def sampled(self) -> bool:
        """Whether these are not all rows."""
        return len(self.texts) < self.total

    def features(self) -> Features:
        """Return the TF-IDF features of the texts, (texts, size)."""
        return vectorizer(self.texts).transform(self.texts)

    def counts(self) -> Labels:
        """Return the number of rows of each class."""
        return np.bincount(self.labels, minlength=len(self.names))

    @classmethod
    def of(cls, examples: ExampleSet, seed: int, most: int = MOST_ROWS) -> ClassRows | None:
        """Return the rows; None where they have no classes, or only one.

        Args:
            examples: Examples whose answers are classes.
            seed: Decides what is sampled.
            most: The number of rows to sample.
        """
        examples = examples.originals()  # a copy in another fold would give the answer away
        if not len(examples) or isinstance(examples[0], (MultiLabelExample, TaggedExample, PairExample)):
            return None
        places = np.unique(first_places(pair_hashes(examples.inputs, examples.targets)))
        total = len(places)
        if total > most:
            places = np.sort(np.random.default_rng(seed).choice(places, most, replace=False))
        texts, given, origins = [], [], []
        for example in examples.take(places):
            texts.append(example.input_text)
            given.append(example.reference.strip())
            origins.append(example.origin)
        unshared = Unshared.of(texts)
        names, labels = _numbered(given)
        if len(names) < 2:
            return None
        return cls([unshared(text) for text in texts], labels, names, origins, total)


def _numbered(labels: list[str]) -> tuple[list[str], Labels]:
    """The names of the classes, and the number of each label."""
    names: dict[str, str] = {}
    for label, _ in Counter(labels).most_common():
        names.setdefault(folded_label(label), label)
    ordered = sorted(names.values())
    place = {folded_label(name): number for number, name in enumerate(ordered)}
    return ordered, np.array([place[folded_label(label)] for label in labels], np.int64)
