"""Examples with what is compared of them, as numbers: 10⁶ of them take 40 MB of memory, and the rest is on disk."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from graft.data.example import AnswerExample, Example
from graft.data.spool import Spool

Hashes: TypeAlias = NDArray[np.uint64]
Places: TypeAlias = NDArray[np.int64]
ROWS_A_FILE = 1 << 40
"""More than any file has, so that a file's number and a line make one number."""


@dataclass(frozen=True, eq=False)
class ExampleSet(Sequence[Example]):
    """A sequence of examples that is read from disk, and a number of 64 bits for each thing that is compared.

    Two texts that differ have the same hash with a probability of n² / 2⁶⁵: one in 10⁷ for 10⁶ rows.

    Attributes:
        items: All examples, of which these are some.
        places: Where in ``items`` each example of this set is.
        prompts: The hash of each prompt, letter case and white space folded; 0 for an empty one.
        references: The hash of each reference.
        targets: The hash of each target: the reference, or the whole message where the answer is one.
        origins: A number for each origin; the examples of one row have the same.
    """

    items: Sequence[Example]
    places: Places
    prompts: Hashes
    references: Hashes
    targets: Hashes
    origins: Hashes

    @classmethod
    def of(cls, examples: Iterable[Example]) -> ExampleSet:
        """Return the set of some examples; a list stays the list it is, and all else is put on disk."""
        spool: Spool[Example] = Spool()
        files: dict[str, int] = {}
        prompts, references, targets, origins = (array("Q") for _ in range(4))
        for example in examples:
            if not isinstance(examples, list):
                spool.append(example)
            reference = text_hash(example.reference)
            prompts.append(text_hash(prompt_key(example)))
            references.append(reference)
            answer = example.answer if isinstance(example, AnswerExample) else None
            targets.append(text_hash(str(answer)) if answer else reference)
            origins.append(files.setdefault(example.origin.file, len(files)) * ROWS_A_FILE + example.origin.line)
        items = examples if isinstance(examples, list) else spool
        hashes = [np.array(column, np.uint64) for column in (prompts, references, targets, origins)]
        return cls(items, np.arange(len(items)), *hashes)

    def take(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> ExampleSet:
        """Return the examples at these places, or where a mask is true."""
        hashes = (self.prompts, self.references, self.targets, self.origins)
        return ExampleSet(self.items, self.places[chosen], *(column[chosen] for column in hashes))

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Example]:
        return (self.items[place] for place in self.places.tolist())

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> ExampleSet: ...
    def __getitem__(self, index: int | slice) -> Example | ExampleSet:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        return self.items[int(self.places[index])]


def prompt_key(example: Example) -> str:
    """Return the text by which prompts are compared: letter case and white space don't count."""
    if not isinstance(example, AnswerExample):
        text = example.input_text
    elif isinstance(example.prompt, str):
        text = example.prompt or example.completion
    else:
        text = "\n".join([str(message.get("content")) for message in example.prompt])
    return " ".join(text.split()).casefold()


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
