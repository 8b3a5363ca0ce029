"""The smallest build backend (PEP 517): the package of this folder as a wheel, by the standard library alone."""

import base64
import hashlib
import re
import zipfile
from pathlib import Path

NAME, VERSION = "graft_example_plugin", "1.0"
INFO = f"{NAME}-{VERSION}.dist-info"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Write the wheel into ``wheel_directory`` and return its name."""
    files = {path.as_posix(): path.read_bytes() for path in sorted(Path(NAME).glob("*.py"))}
    files[f"{INFO}/METADATA"] = f"Metadata-Version: 2.1\nName: graft-example-plugin\nVersion: {VERSION}\n".encode()
    files[f"{INFO}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: example\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{INFO}/entry_points.txt"] = _entry_points(Path("pyproject.toml").read_text(encoding="utf-8")).encode()
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    name = f"{NAME}-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w") as wheel:
        for file, data in files.items():
            wheel.writestr(file, data)
        wheel.writestr(f"{INFO}/RECORD", f"{record}{INFO}/RECORD,,\n")
    return name


def _entry_points(pyproject):
    """The entry points of pyproject.toml, whose sections are written otherwise there (tomllib begins with 3.11)."""
    tables = re.findall(r'\[project\.entry-points\."([\w.]+)"\]\n((?:\w+ = "[^"]+"\n)+)', pyproject)
    return "".join(f"[{group}]\n{lines.replace(chr(34), '')}" for group, lines in tables)


def _digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
