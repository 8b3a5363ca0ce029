"""A classifier of texts that is trained in seconds: TF-IDF of words and pairs of words, and logistic regression."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Labels: TypeAlias = NDArray[np.int64]
Probabilities: TypeAlias = NDArray[np.float64]
Features: TypeAlias = Any
"""A matrix with a row for each text, dense or sparse (CSR)."""

LONGEST = 5_000
"""Characters of a text that are looked at."""
MOST_FEATURES = 20_000
FOLDS = 5
FEW_TEXTS = 50
"""Of so few texts, most words occur once."""
MOST_STEPS = 100
STRONG = 0.5
_WORDS = r"(?u)\b\w+\b|[^\w\s]+"
"""Words, and signs in a row: ``!!`` and ``:)`` tell classes apart."""


def vectorizer(texts: Sequence[str]) -> Any:
    """Return what turns texts into TF-IDF features, fitted to ``texts``.

    Words and pairs of words that occur in two texts or more; the logarithm of counts; rows of length 1.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    found = TfidfVectorizer(
        ngram_range=(1, 2),
        min_df=2 if len(texts) > FEW_TEXTS else 1,
        max_features=MOST_FEATURES,
        sublinear_tf=True,
        token_pattern=_WORDS,
    )
    try:
        return found.fit(texts)
    except ValueError:  # no word occurs twice
        return found.set_params(min_df=1, token_pattern=r"(?s).+").fit([text or " " for text in texts] or [" "])


def with_letters(texts: Sequence[str]) -> Features:
    """Return the features of ``vectorizer`` and, beside them, those of two to four letters within words.

    Letters cost several times the time, and find wrong labels better: they see smileys, and words in all their forms.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion

    words = vectorizer(texts)
    least = 3 if len(texts) > FEW_TEXTS else 1
    letters = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), min_df=least, max_features=MOST_FEATURES, sublinear_tf=True
    )
    try:
        return FeatureUnion([("words", words), ("letters", letters.fit(texts))]).transform(texts).tocsr()
    except ValueError:  # texts without letters
        return words.transform(texts)


def fitted(features: Features, labels: Labels, seed: int, inverse_penalty: float = 3.0) -> Any:
    """Return a logistic regression of features on classes.

    Args:
        features: The features, (texts, size).
        labels: The class of each text as a number.
        seed: The seed of the fit.
        inverse_penalty: The inverse of the strength of the L2 penalty; scikit-learn's ``C``.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    # A fit multiplies small matrices thousands of times: with threads of BLAS that wait for each other it takes longer.
    with warnings.catch_warnings(), threadpool_limits(1, "blas"):
        warnings.simplefilter("ignore")  # where the last step ends is near enough to the optimum
        model = LogisticRegression(C=inverse_penalty, max_iter=MOST_STEPS, tol=1e-5, random_state=seed)
        return model.fit(features, labels)


def folds_of(labels: Labels, seed: int, count: int = FOLDS) -> Labels:
    """Return the fold of each text, from 0 on; each class is spread evenly over the folds."""
    generator = np.random.default_rng(seed)
    folds = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        places = generator.permutation(np.flatnonzero(labels == label))
        folds[places] = (np.arange(len(places)) + generator.integers(count)) % count
    return folds


def probabilities(model: Any, features: Features, classes: int) -> Probabilities:
    """Return the probability of each class, (texts, classes); 0 for those that ``model`` has not seen."""
    found = np.zeros((features.shape[0], classes))
    found[:, model.classes_] = model.predict_proba(features)
    return found


def out_of_fold(features: Features, labels: Labels, classes: int, seed: int) -> Probabilities:
    """Return the probability of each class for each text, by a model that has not seen the text: (texts, classes).

    The penalty is a strong one: with a weak one a model learns wrong labels, too, and is surer than it may be.

    Args:
        features: The features, (texts, size).
        labels: The class of each text as a number.
        classes: The number of classes.
        seed: Decides the folds and the fits.
    """
    found = np.zeros((len(labels), classes))
    for train, test in splits(labels, seed):
        if len(np.unique(labels[train])) > 1:
            model = fitted(features[train], labels[train], seed, STRONG)
            found[test] = probabilities(model, features[test], classes)
    return found


def splits(labels: Labels, seed: int) -> Iterator[tuple[Labels, Labels]]:
    """Yield the places to train on and to predict, for each fold."""
    folds = folds_of(labels, seed)
    for fold in range(FOLDS):
        test = np.flatnonzero(folds == fold)
        if len(test):
            yield np.flatnonzero(folds != fold), test


def _common_start(texts: Sequence[str]) -> str:
    """What all texts begin with, up to a blank: what the first and the last in order have in common."""
    first, last = min(texts), max(texts)
    length = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return re.sub(r"\S+\Z", "", first[:length])


@dataclass(frozen=True)
class Unshared:
    """Takes out of texts what all of them have in common, such as an instruction.

    Attributes:
        before: What all of them begin with, up to a blank.
        after: What all of them end with, from a blank on.
    """

    before: str = ""
    after: str = ""

    @classmethod
    def of(cls, texts: Sequence[str]) -> Unshared:
        """Return what takes out the shared parts of ``texts``."""
        if len(texts) < 2:
            return cls()
        before = _common_start(texts)
        after = _common_start([text[len(before) :][::-1] for text in texts])[::-1]
        return cls(before, after)

    def __call__(self, text: str) -> str:
        """Return ``text`` without the shared parts, and no longer than ``LONGEST``."""
        return self.of_any_length(text)[:LONGEST]

    def of_any_length(self, text: str) -> str:
        """Return ``text`` without the shared parts."""
        text = text.removeprefix(self.before)
        return text.removesuffix(self.after) if self.after else text
