"""Names of classes: of numbers, and in one spelling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graft.data.example import Origin, as_text
from graft.data.features import class_name, whole_number
from graft.data.inferred import InferredSetting
from graft.data.spelling import composed, folded, visible
from graft.data.values import Unreadable
from graft.errors import InputError

_REMEDY = "name them in the order of their numbers, from 0 on: --label_names NAME,NAME,…"
MOST_SHOWN = 5
SPELLING = "letter case, blanks or the form of Unicode"


def folded_label(text: str) -> str:
    """Return a label without what does not make it another.

    That is letter case, blanks around it or several in a row, invisible characters, and the form of Unicode.
    """
    return " ".join(folded(visible(text)).split())


def spelling_warnings(counts: Mapping[str, int], kind: str = "classes") -> list[str]:
    """Return a sentence where there are labels that only their spelling makes different ones.

    Args:
        counts: The number of rows of each label.
        kind: What the labels are.
    """
    alike: dict[str, list[str]] = {}
    for label in counts:
        alike.setdefault(folded_label(label), []).append(label)
    several = [group for group in alike.values() if len(group) > 1]
    if not several:
        return []
    listed = [" and ".join(f"{_shown(label)} ({counts[label]:,})" for label in group) for group in several]
    more = f"; and {len(listed) - MOST_SHOWN} more" if len(listed) > MOST_SHOWN else ""
    return [
        f"{kind} that differ only in {SPELLING} are learned as different ones: {'; '.join(listed[:MOST_SHOWN])}{more}; "
        "write each in one way"
    ]


def _shown(label: str) -> str:
    """A label in quotes; with escapes where it has characters that cannot be seen."""
    return repr(label) if label == visible(composed(label)) else ascii(label)


@dataclass(frozen=True)
class Classes:
    """How the values of a column become names of classes.

    Attributes:
        names: The names of class numbers, where the user gives them.
        spellings: The name of each class by its label as ``folded_label`` gives it.
        said: What was decided.
    """

    names: tuple[str, ...] | None
    spellings: Mapping[str, str]
    said: tuple[InferredSetting, ...] = field(default=(), compare=False)

    @classmethod
    def of(
        cls, values: Iterable[Any], names: Sequence[str] | None = None, known: Sequence[str] | None = None
    ) -> Classes:
        """Return the classes of a column's values.

        Labels that differ as ``folded_label`` says are one class; its name is the spelling that occurs most, and of
        several the first.

        Args:
            values: The values, with a missing one as None.
            names: The names of class numbers.
            known: The classes, where a model has learned them already.
        """
        counts = Counter(_labels(values, names))
        spellings: dict[str, str] = {}
        for label in sorted(counts, key=lambda label: -counts[label]):
            spellings.setdefault(folded_label(label), label)
        of_known = {folded_label(label): label for label in reversed(known or ())}
        return cls(tuple(names) if names else None, {**spellings, **of_known}, tuple(_said(counts, spellings, names)))

    @property
    def labels(self) -> list[str]:
        """The names of all classes, sorted."""
        return sorted(self.spellings.values())

    def name(self, value: Any, origin: Origin) -> str:
        """Return the name of a value's class.

        Raises:
            InputError: For a number without a name, where numbers have names.
        """
        label = as_text(class_name(value, self.names)).strip()
        if self.names is not None and whole_number(value) is not None and label not in self.names:
            last = len(self.names) - 1
            raise InputError(
                f"the class {label} has no name: --label_names has those of 0 to {last}", where=str(origin)
            )
        return self.spellings.get(folded_label(label), label)


def _labels(values: Iterable[Any], names: Sequence[str] | None) -> Iterator[str]:
    for value in values:
        named = class_name(value, names)
        label = "" if named is None or isinstance(named, Unreadable) else as_text(named).strip()
        if label:
            yield label


def _said(
    counts: Mapping[str, int], spellings: Mapping[str, str], names: Sequence[str] | None
) -> Iterator[InferredSetting]:
    given = {label: spellings[folded_label(label)] for label in counts}
    others = [f"{_plain(label)} = {_plain(name)}" for label, name in given.items() if label != name]
    if others:
        more = [f"and {len(others) - MOST_SHOWN} more"] if len(others) > MOST_SHOWN else []
        why = f"labels that differ only in {SPELLING} are one class, named as most rows write it"
        yield InferredSetting("label_spelling", [*others[:MOST_SHOWN], *more], why)
    if counts and names is None and all(whole_number(label) is not None for label in counts):
        why = "the classes are numbers without names; --label_names gives them"
        numbers = sorted(counts, key=lambda label: whole_number(label) or 0)
        yield InferredSetting("class_names", numbers[:MOST_SHOWN], why)


def _plain(label: str) -> str:
    return _shown(label)[1:-1] if label != visible(composed(label)) else label


def tag_names(tags: Sequence[Any], names: Sequence[str] | None, origin: Origin) -> list[Any]:
    """Return the tags with names in place of numbers.

    Raises:
        InputError: For a tag that is missing, and for a number without a name.
    """
    found = [class_name(tag, names) for tag in tags]
    for place, (tag, name) in enumerate(zip(tags, found, strict=True), 1):
        if name is None:
            raise InputError(f"tag {place} is missing", where=str(origin), remedy="O is the tag of a word without one")
        if whole_number(name) is not None and name not in (names or ()):
            if names:
                what = f"the tag {as_text(tag)} has no name: --label_names has those of 0 to {len(names) - 1}"
                raise InputError(what, where=str(origin))
            raise InputError(
                "the tags are numbers, and the data set has no names for them",
                where=str(origin),
                remedy=_REMEDY.replace("NAME,NAME", "O,B-per,I-per"),
            )
    return found


def check_words(words: Sequence[Any], origin: Origin) -> list[str]:
    """Return the words as texts.

    Raises:
        InputError: For a word that is missing, as where a program read the word "nan" or "null" as no value.
    """
    for place, word in enumerate(words, 1):
        if word is None:
            raise InputError(
                f"word {place} is missing",
                where=str(origin),
                remedy='a program may have read a word such as "null" as no value: pandas needs keep_default_na=False',
            )
    return [as_text(word) for word in words]
