"""Examples with what is compared of them, as numbers: 10⁶ of them take 56 MB of memory, and the rest is on disk."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from graft.data.example import AnswerExample, Example, Message
from graft.data.spelling import folded
from graft.data.spool import Spool

Hashes: TypeAlias = NDArray[np.uint64]
Places: TypeAlias = NDArray[np.int64]
ROWS_A_FILE = 1 << 40
"""More than any file has, so that a file's number and a line make one number."""


@dataclass(frozen=True, eq=False)
class ExampleSet(Sequence[Example]):
    """A sequence of examples that is read from disk, and a number of 64 bits for each thing that is compared.

    Two texts that differ have the same hash with a probability of n² / 2⁶⁵: one in 10⁷ for 10⁶ rows. What removes
    rows compares the rows themselves (``graft.data.duplicates``).

    Attributes:
        items: All examples, of which these are some.
        places: Where in ``items`` each example of this set is.
        prompts: The hash of each prompt, letter case and white space folded; 0 for an empty one.
        inputs: The hash of all that an example has besides its target: the prompt as it stands, the tools.
        references: The hash of each reference.
        targets: The hash of each target: the answer or the label, and the whole message where the answer is one.
        origins: A number for each origin; the examples of one row have the same.
        sources: 0, and for a row that a program added the hash of what it was made from, or 1.
    """

    items: Sequence[Example]
    places: Places
    prompts: Hashes
    inputs: Hashes
    references: Hashes
    targets: Hashes
    origins: Hashes
    sources: Hashes

    @classmethod
    def of(cls, examples: Iterable[Example]) -> ExampleSet:
        """Return the set of some examples; a list stays the list it is, and all else is put on disk."""
        spool: Spool[Example] = Spool()
        files: dict[str, int] = {}
        prompts, inputs, references, targets, origins, sources = columns = [array("Q") for _ in range(6)]
        for example in examples:
            if not isinstance(examples, list):
                spool.append(example)
            read, learned = content(example)
            prompts.append(text_hash(prompt_key(example)))
            inputs.append(text_hash(read))
            references.append(text_hash(example.reference))
            targets.append(text_hash(learned))
            origins.append(files.setdefault(example.origin.file, len(files)) * ROWS_A_FILE + example.origin.line)
            sources.append((text_hash(example.origin.source) or 1) if example.origin.added else 0)
        items = examples if isinstance(examples, list) else spool
        return cls(items, np.arange(len(items)), *(np.array(column, np.uint64) for column in columns))

    def take(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> ExampleSet:
        """Return the examples at these places, or where a mask is true."""
        hashes = (self.prompts, self.inputs, self.references, self.targets, self.origins, self.sources)
        return ExampleSet(self.items, self.places[chosen], *(column[chosen] for column in hashes))

    def originals(self) -> ExampleSet:
        """Return the examples without the copies that a program made of others: they are like these on purpose."""
        return self.take(self.sources <= 1)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Example]:
        if len(self.places) == len(self.items) and bool((np.diff(self.places) == 1).all()):
            return iter(self.items)  # all of them in their order: whole parts are read from disk
        return (self.items[place] for place in self.places.tolist())

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> ExampleSet: ...
    def __getitem__(self, index: int | slice) -> Example | ExampleSet:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        return self.items[int(self.places[index])]


TARGETS = ("completion", "label", "answer", "labels", "tags", "similarity")
"""The fields of examples that are learned; all others but the origin are read."""


class Content(NamedTuple):
    """All that an example has but its origin, as texts; those of two examples are equal where these are."""

    read: str
    learned: str


def content(example: Example) -> Content:
    """Return what the model reads of an example, and what it learns. Case, blanks and the types of values count."""
    read = dict(vars(example))
    del read["origin"]
    read.pop("alternatives", None)
    if isinstance(example, AnswerExample):
        if isinstance(example.prompt, tuple):
            read["prompt"] = [_in_order(message) for message in example.prompt]
        if example.answer is not None:
            read["answer"] = _in_order(example.answer)
    learned = [read.pop(name) for name in TARGETS if name in read]
    if isinstance(example, AnswerExample) and example.prompt == "":  # a plain text is both
        read["completion"] = example.completion
    return Content(f"{type(example).__name__} {read!r}", repr(learned))


def source_key(example: Example) -> str:
    """Return what names a row in those that a program made from it: it stays the same in other files."""
    return f"{text_hash(repr(content(example))):016x}"


def _in_order(message: Message) -> Message:
    """A message with its keys in order, which means nothing; what a template writes as JSON keeps its own."""
    return message if list(message) == ["role", "content"] else dict(sorted(message.items(), reverse=True))


def prompt_key(example: Example) -> str:
    """Return the text by which prompts are compared for the split: letter case and white space don't count."""
    if not isinstance(example, AnswerExample):
        text = example.input_text
    elif isinstance(example.prompt, str):
        text = example.prompt or example.completion
    else:
        text = "\n".join([str(message.get("content")) for message in example.prompt])
    return " ".join(folded(text).split())


def text_hash(text: str) -> int:
    """Return 64 bits of BLAKE2b; 0 for the empty text."""
    if not text:
        return 0
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def first_places(keys: Hashes) -> Places:
    """Return, for each key, the place of the first one that is equal."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first[inverse]


def pair_hashes(left: Hashes, right: Hashes) -> Hashes:
    """Return one hash for each pair (the multiplier is that of Knuth's linear congruential generator)."""
    mixed: Hashes = left * np.uint64(6364136223846793005) + right
    return mixed
