"""The error tree: GraftError > InputError > MissingExtra; GateError; Interrupted."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what (with the value), where (a file and line, an option), and what to do."""

    what: str
    where: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f"\n    {self.remedy}" if self.remedy else ""
        return f"{place}{self.what}{remedy}"


class GraftError(Exception):
    """Base of all errors a user may meet; ``exit_code`` is what the command line ends with."""

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
    """Collects everything wrong with one input, so that it is said together."""

    found: list[Problem] = field(default_factory=list)

    def add(self, what: str, where: str | Path = "", remedy: str = "") -> None:
        """Collect a problem; the arguments are the fields of ``Problem``."""
        self.found.append(Problem(what, str(where), remedy))

    def __bool__(self) -> bool:
        return bool(self.found)

    def collecting(self) -> Problems:
        """``with problems.collecting():`` keeps an InputError here, so that what comes after is looked at as well."""
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, InputError):
            return False
        self.found.extend(error.problems)
        return True

    def raise_if_any(self) -> None:
        """End with what was found, if anything was.

        Raises:
            InputError: with all that was found, when anything was.
        """
        if self.found:
            raise InputError(*self.found)


@contextmanager
def refusing(what: str, where: str | Path = "", remedy: str = "") -> Iterator[None]:
    """Whatever a library raises within, on content from outside, becomes an InputError with its reason.

    Args:
        what: What is wrong, such as "this tokenizer cannot be loaded"; the library's reason is put behind it.
        where: The file or folder that the content is from.
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
"""Characters of a library's message that are shown."""


def reason_of(error: BaseException) -> str:
    """Return what an exception of a library says, in one short line; its kind where it says nothing."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "there was not enough memory"
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    said = f"{type(error).__name__}: {text}" if isinstance(error, (KeyError, IndexError)) or not text else text
    return said if len(said) <= LONGEST_REASON else f"{said[:LONGEST_REASON]}…"


OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "std::bad_alloc")
"""How PyTorch and its libraries say that memory ran out: of CUDA and MPS, of the CPU, of C++."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out; Linux may also end the process without one."""
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    return isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY)


FULL_DISK = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
TORCH_COULD_NOT_WRITE = "unexpected pos"
"""What ``torch.save`` says of a file that is shorter than what was written to it."""


def is_full_disk(error: BaseException) -> bool:
    """Whether an exception says that no more can be written: by its number, or as libraries in Rust and PyTorch do."""
    text = str(error)
    in_rust = any(f"os error {number}" in text for number in FULL_DISK)
    return getattr(error, "errno", None) in FULL_DISK or in_rust or TORCH_COULD_NOT_WRITE in text


MOST_SAID = 20


def shorten(problems: Problems, what: str) -> None:
    """Name the first, count the rest."""
    more = len(problems.found) - MOST_SAID
    if more > 0:
        problems.found[MOST_SAID:] = []
        problems.add(f"and {more} more {what}")


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The likeliest name meant by ``name``, or None when nothing is near."""
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
