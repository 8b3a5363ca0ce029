"""Scores to beat: what a model that costs seconds reaches on the same rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from graft.data.example import AnswerExample, Example, MultiLabelExample, labels_text
from graft.data.text_classifier import Unshared, fitted, vectorizer

MOST_COMMON, TFIDF, COPIED = "most_common", "tfidf", "copied_input"
TITLES = {MOST_COMMON: "most common", TFIDF: "TF-IDF", COPIED: "copied input"}
"""The baselines by name, and what a table calls them."""
PHRASES = {MOST_COMMON: "always giving the most common answer", TFIDF: "TF-IDF", COPIED: "copying the input"}
"""The same in a sentence."""
COMMON = 0.05
"""The share of the training rows that have the most common text, from which on to give always that is a baseline."""
MOST_ROWS = 20_000
"""Training rows that are used; of more, so many are sampled."""


def baseline_title(name: str) -> str:
    """Return what a table calls the baseline ``name``."""
    return TITLES.get(name, name)


def baseline_phrase(name: str) -> str:
    """Return what a sentence calls the baseline ``name``."""
    return PHRASES.get(name, name)


def text_answers(train: Sequence[Example], judged: Sequence[Example], seed: int = 42) -> dict[str, list[str]]:
    """Return the answers of each baseline to ``judged``, rows that are answered by a text.

    They are the input without what all inputs share, such as an instruction, and the most common answer if a share of
    ``COMMON`` of the training rows have it.

    Args:
        train: The training rows; without any there is no most common answer.
        judged: The rows to answer.
        seed: The seed of the sample of many training rows.
    """
    texts = [example.prompt_text for example in judged if isinstance(example, AnswerExample)]
    if not texts or len(texts) < len(judged):
        return {}
    train = _sampled(train, seed)
    unshared = Unshared.of([example.prompt_text for example in train] or texts)
    found = {COPIED: [unshared.of_any_length(text).strip() for text in texts]}
    if len(train):
        (common, rows), *_ = Counter(example.reference for example in train).most_common(1)
        if rows > 1 and rows >= COMMON * len(train):
            found[MOST_COMMON] = [common] * len(texts)
    return found


def baseline_answers(train: Sequence[Example], judged: Sequence[Example], seed: int = 42) -> dict[str, list[str]]:
    """Return the answers of each baseline to ``judged``: always the most common one, and TF-IDF's.

    Args:
        train: The training rows; all have a class, or several labels.
        judged: The rows to answer.
        seed: The seed of the fit.
    """
    if not len(train) or not judged:
        return {}
    train = _sampled(train, seed)
    references = [example.reference for example in train]
    common = Counter(references).most_common(1)[0][0]
    found = {MOST_COMMON: [common] * len(judged)}
    texts = [example.input_text for example in train]
    unshared = Unshared.of(texts)
    texts = [unshared(text) for text in texts]
    vectors = vectorizer(texts)
    features = vectors.transform(texts)
    asked = vectors.transform([unshared(example.input_text) for example in judged])
    if isinstance(train[0], MultiLabelExample):
        return {**found, TFIDF: _several(features, train, asked, seed)}
    names = sorted(set(references))
    if len(names) < 2:
        return found
    place = {name: number for number, name in enumerate(names)}
    model = fitted(features, np.array([place[reference] for reference in references]), seed)
    return {**found, TFIDF: [names[number] for number in model.predict(asked)]}


def _sampled(train: Sequence[Example], seed: int) -> Sequence[Example]:
    if len(train) <= MOST_ROWS:
        return train
    places = np.random.default_rng(seed).choice(len(train), MOST_ROWS, replace=False)
    return [train[place] for place in np.sort(places).tolist()]


def _several(features: object, train: Sequence[Example], asked: object, seed: int) -> list[str]:
    """A model for each label that says whether a row has it."""
    held = [set(example.labels) if isinstance(example, MultiLabelExample) else set() for example in train]
    names = sorted(set().union(*held))
    chosen: list[list[str]] = [[] for _ in range(asked.shape[0])]  # type: ignore[attr-defined]
    for name in names:
        has = np.array([name in labels for labels in held], np.int64)
        says = np.full(len(chosen), has[0]) if has.all() else fitted(features, has, seed).predict(asked)
        for place in np.flatnonzero(says):
            chosen[place].append(name)
    return [labels_text(labels) for labels in chosen]
