"""Cases one after the other in one process, within a limit of memory.

A line is printed before each case, which is the last one if it ends the process, and one with what came of it.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from graft.errors import GraftError

NO_SUCH_FILE = (
    ValueError,
    TypeError,
    NotImplementedError,
    UnicodeError,
    OverflowError,
    pa.ArrowException,
    RecursionError,
)
"""What is raised where a case cannot be written: there is no such table, or not in this format."""


def run_cases(
    write: Callable[[Path, int], tuple[Path, str]], examine: Callable[[Path], object], address_space: int
) -> None:
    """Run the cases that the command line names: a folder, the first seed, and the number.

    Args:
        write: Writes the file of a seed into a folder, and says what is wrong with it.
        examine: Reads the file, or refuses it with a ``GraftError``.
        address_space: Bytes of memory that the process may map.
    """
    folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    except ImportError:  # Windows has no such limits
        pass
    for seed in range(first, first + count):
        try:
            path, how = write(folder, seed)
        except NO_SUCH_FILE:
            print(seed, "skipped", flush=True)
            continue
        print(seed, "case", how.replace("\n", " "), flush=True)
        print(seed, _outcome(examine, path).replace("\n", " "), flush=True)


def _outcome(examine: Callable[[Path], object], path: Path) -> str:
    try:
        examine(path)
    except GraftError as error:
        return "refused" if str(error).strip() and len(str(error)) < 20_000 else f"fault: {str(error)[:200]!r}"
    except Exception as error:
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        place = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last is not None else ""
        return f"fault: {type(error).__name__}: {str(error)[:200]} at {place}"
    return "accepted"
