"""Safe defaults for subprocesses and libraries: no code from the current folder, and no telemetry."""

from __future__ import annotations

import os
import sys

# For Python 3.10, which has no -P. ``-c`` puts "" first; nothing but ``sys``, which is built in, is imported before it
# is gone. Newer ones may import ``linecache`` before they run the code, so that this would be too late there.
_WITHOUT_FOLDER = "import sys; del sys.path[0]; import runpy; runpy.run_module({!r}, None, '__main__', True)"


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs ``python -m MODULE ARGUMENTS`` in this interpreter without the current folder.

    ``python -m`` alone looks for modules in the current folder first: a file ``secrets.py`` in a downloaded folder
    would be run in place of the standard library's. Folders in ``PYTHONPATH`` are still searched.

    Args:
        module: The module's full name.
        arguments: Its ``sys.argv[1:]``.
    """
    if sys.version_info >= (3, 11):
        return [sys.executable, "-P", "-m", module, *arguments]
    return [sys.executable, "-c", _WITHOUT_FOLDER.format(module), *arguments]


def without_telemetry() -> None:
    """Keep onnxruntime from reporting its use; call it before onnxruntime is imported.

    Its wheels (1.32 does) send what they run on to Microsoft, on Linux too, unless this variable is set. Processes
    that are started later inherit it. A value that is set already stays.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
