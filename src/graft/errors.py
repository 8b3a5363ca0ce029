"""The error tree (GraftError > InputError > MissingExtra; GateError; Interrupted), and places in files."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One problem: what is wrong (with the value), where (a file and line, an option), and what to do."""

    what: str
    where: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f"\n    {self.remedy}" if self.remedy else ""
        return f"{place}{self.what}{remedy}"


class Key(str):
    """A name in a settings file that knows its place; a text like any other in every other way.

    Attributes:
        file: The file; or what was typed in place of a line in one.
        at: The line and the column of the name, from 1; None of what was typed.
        value_at: Those of its value.
    """

    def __new__(
        cls, text: str, file: str, at: tuple[int, int] | None = None, value_at: tuple[int, int] | None = None
    ) -> Key:
        made = super().__new__(cls, text)
        made.file, made.at, made.value_at = file, at, value_at or at
        return made

    file: str
    at: tuple[int, int] | None
    value_at: tuple[int, int] | None

    def __deepcopy__(self, memo: object) -> Key:
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def renamed(name: str, to: str) -> str:
    """Return ``to`` with the place of ``name``."""
    return Key(to, name.file, name.at, name.value_at) if isinstance(name, Key) else to


def located(where: str, name: object, of_value: bool = False) -> str:
    """Return ``FILE:LINE:COLUMN`` of a name in a file; ``where`` itself if the place is not known.

    Args:
        where: The file, and the section in it; empty for the command line.
        name: The name, as it was read.
        of_value: Whether its value is meant.
    """
    if not where or not isinstance(name, Key):
        return where
    place = name.value_at if of_value else name.at
    return name.file if place is None else f"{name.file}:{place[0]}:{place[1]}"


class GraftError(Exception):
    """Base of all errors that users see; ``exit_code`` is the exit code of the command line."""

    exit_code = 1

    def __init__(self, *problems: Problem | str, where: str = "", remedy: str = "") -> None:
        self.problems = tuple(p if isinstance(p, Problem) else Problem(p, where, remedy) for p in problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class InputError(GraftError):
    """The input was wrong: nothing was written and nothing was loaded."""

    exit_code = 2


class MissingExtra(InputError):
    """An optional dependency is not installed."""


class GateError(GraftError):
    """A gate that the user asked for was not met."""

    exit_code = 3


class Interrupted(GraftError):
    """The user stopped the work; it can be resumed."""

    exit_code = 130


@dataclass
class Problems:
    """Collects all problems with one input, to report them together."""

    found: list[Problem] = field(default_factory=list)

    def add(self, what: str, where: str | Path = "", remedy: str = "") -> None:
        """Collect a problem; the arguments are the fields of ``Problem``."""
        self.found.append(Problem(what, str(where), remedy))

    def __bool__(self) -> bool:
        return bool(self.found)

    def collecting(self) -> Problems:
        """``with problems.collecting():`` keeps an InputError here, so that later checks still run."""
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, InputError):
            return False
        self.found.extend(error.problems)
        return True

    def raise_if_any(self) -> None:
        """Raise the collected problems.

        Raises:
            InputError: with all problems, if there are any.
        """
        if self.found:
            raise InputError(*self.found)


@contextmanager
def refusing(what: str, where: str | Path = "", remedy: str = "") -> Iterator[None]:
    """Convert any exception of a library within the block to an InputError with its reason.

    Args:
        what: What is wrong, such as "this tokenizer cannot be loaded"; the library's reason is appended.
        where: The file or folder that was read.
        remedy: What to do.

    Raises:
        InputError: For any exception other than a GraftError.
    """
    try:
        yield
    except GraftError:
        raise
    except Exception as error:
        raise InputError(f"{what}: {reason_of(error)}", where=str(where), remedy=remedy) from error


LONGEST_REASON = 300
"""The maximum number of characters of a library's message."""


def reason_of(error: BaseException) -> str:
    """Return the message of a library's exception in one short line; its type if the message is empty."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "there was not enough memory"
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    said = f"{type(error).__name__}: {text}" if isinstance(error, (KeyError, IndexError)) or not text else text
    return said if len(said) <= LONGEST_REASON else f"{said[:LONGEST_REASON]}…"


OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "std::bad_alloc")
"""Messages of PyTorch and its libraries when memory runs out: of CUDA and MPS, of the CPU, of C++."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out; Linux may also kill the process without one."""
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    return isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY)


FULL_DISK = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
TORCH_COULD_NOT_WRITE = "unexpected pos"
"""The message of ``torch.save`` for a file that is shorter than what was written to it."""


def is_full_disk(error: BaseException) -> bool:
    """Whether an exception means a full disk: by its errno, or by the messages of Rust libraries and PyTorch."""
    text = str(error)
    in_rust = any(f"os error {number}" in text for number in FULL_DISK)
    return getattr(error, "errno", None) in FULL_DISK or in_rust or TORCH_COULD_NOT_WRITE in text


MOST_SAID = 20


def shorten(problems: Problems, what: str) -> None:
    """Keep the first ``MOST_SAID`` problems and count the rest; ``what`` is their name in the plural."""
    more = len(problems.found) - MOST_SAID
    if more > 0:
        problems.found[MOST_SAID:] = []
        problems.add(f"and {more} more {what}")


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the most similar of ``names``, or None if none is similar."""
    matches = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``did you mean X?``, or an empty string."""
    near = nearest(name, names)
    return f"did you mean {near}?" if near else ""


def need_extra(extra: str, module: str) -> MissingExtra:
    """The error for a missing optional dependency: ``raise need_extra("onnx", "onnxruntime") from error``."""
    return MissingExtra(
        f"this needs the package {module}, which is not installed",
        remedy=f'pip install "graft-slm[{extra}]"',
    )
