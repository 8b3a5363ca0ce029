"""What the libraries raise, as errors a user can act on."""

from __future__ import annotations

import errno

from graft.errors import GraftError

FULL_DISK = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
LESS_MEMORY = "--per_device_train_batch_size 1 --gradient_accumulation_steps 16 --gradient_checkpointing true"


def as_graft_error(error: Exception) -> GraftError:
    """The same failure, with a remedy: a full disk, too little memory, or what is to be reported.

    Args:
        error: what a training or an evaluation raised.

    Returns:
        ``error`` itself where it is one of ours.
    """
    if isinstance(error, GraftError):
        return error
    text = str(error)
    if getattr(error, "errno", None) in FULL_DISK or any(f"os error {number}" in text for number in FULL_DISK):
        return GraftError("the disk is full; the last complete checkpoint is kept", remedy="free space, then --resume")
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text:
        return GraftError("there was not enough memory", remedy=LESS_MEMORY)
    return GraftError(f"{type(error).__name__}: {text}", remedy="--debug shows where")
