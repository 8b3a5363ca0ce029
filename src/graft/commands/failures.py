"""What the libraries raise, as errors a user can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from graft.errors import GraftError, is_full_disk, is_out_of_memory
from graft.registry import place_in_extension

LESS_MEMORY = "--gradient_checkpointing true, a smaller --max_length, or a smaller model"


def as_graft_error(error: Exception) -> GraftError:
    """What a training raised, with a remedy: a full disk, too little memory, or what is to be reported.

    Returns:
        ``error`` itself where it is one of ours.
    """
    if isinstance(error, GraftError):
        return error
    found = _of_resources(
        error, "the last complete checkpoint is kept", "free some space, then continue with --resume", LESS_MEMORY
    )
    remedy = "run it again with --debug to see where"
    return found or GraftError(f"{type(error).__name__}: {error}", where=place_in_extension(error), remedy=remedy)


@contextmanager
def resource_errors(less_memory: str) -> Iterator[None]:
    """A full disk or too little memory within becomes a GraftError; ``less_memory`` says what needs less of it."""
    try:
        yield
    except GraftError:
        raise
    except Exception as error:
        found = _of_resources(error, "nothing more was written", "free some space", less_memory)
        if found is None:
            raise
        raise found from error


def _of_resources(error: Exception, kept: str, free: str, less_memory: str) -> GraftError | None:
    if is_full_disk(error):
        return GraftError(f"the disk is full; {kept}", remedy=free)
    if is_out_of_memory(error):
        return GraftError("there was not enough memory", remedy=less_memory)
    return None
