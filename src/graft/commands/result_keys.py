"""What goes into a pass, and its key: a pass with an equal key leaves an equal result and need not run again."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from graft import _version
from graft.commands.content import content_of_name
from graft.commands.generation import without_secrets
from graft.config import SECRET, Settings, options_of
from graft.models.weights import file_sha256
from graft.runs.manifest import PassRecord
from graft.runs.trust import code_settings

LIBRARIES = ("torch", "transformers", "peft", "tokenizers")
NO_INPUT = frozenset({"output_path", "overwrite", "resume", "token", "api_key", "trust_remote_code"})
"""Settings that change nothing of what a pass leaves."""
NAMES_FOLDERS = frozenset(
    {"model_name_or_path", "base_model_name_or_path", "base_model_path", "data_name", "teacher", "encoder"}
)
"""Settings that are texts and may name a folder."""


@dataclass(frozen=True)
class Inputs:
    """What goes into a pass; the fields are those of ``PassRecord``."""

    type: str
    settings: Mapping[str, Any]
    content: Mapping[str, str]
    before: str | None
    code: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def key(self) -> str:
        """The SHA-256 of everything; what a setting names counts by its bytes and not by its path."""
        document = asdict(self) | {"settings": {**self.settings, **self.content}}
        text = json.dumps(document, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def same_as(self, record: PassRecord) -> bool:
        """Whether a pass was started with these inputs; the commit of a Hub model was not known before its download."""
        return record.key in {self.key, self.with_commits({}).key}

    def with_commits(self, later: Mapping[str, str]) -> Inputs:
        """These inputs with the commits of Hub models in ``later``, the contents once the pass is done."""
        own = {name: content for name, content in self.content.items() if not _is_commit(content)}
        return replace(self, content=own | {name: found for name, found in later.items() if _is_commit(found)})


def inputs_of(cls: type[Any], settings: Settings, before: str | None) -> Inputs:
    """What goes into a pass of the class ``cls``.

    Args:
        cls: The class of the pass.
        settings: Its settings.
        before: The key of the pass whose result it takes.
    """
    left_out = {**SECRET, **dict.fromkeys(NO_INPUT, True)}
    given = without_secrets(settings).model_dump(mode="json", exclude_unset=True, exclude=left_out)
    content = {name: found for name, value in given.items() if (found := _content(settings, name, value))}
    needed = [module.partition(".")[0] for _, module in cls.needs]
    return Inputs(_name(cls), given, content, before, _code(cls, given), _versions((*LIBRARIES, *needed)))


def _name(cls: type[Any]) -> str:
    return ":".join(filter(None, (cls.__module__, cls.__qualname__, getattr(cls, "only", ""))))


def _content(settings: Settings, name: str, value: Any) -> str:
    """The hash of the files that a setting names, of a list with several in their order; empty if it names none."""
    field = type(settings).model_fields.get(name)
    folders = name in NAMES_FOLDERS or (field is not None and Path in _types(field.annotation))
    folders = folders or name.endswith(("_path", "_paths", "_files", "_file", "_dir"))
    found = [(text, content_of_name(text, folders)) for text in _texts(value)]
    if not any(content for _, content in found):
        return _hub_commit(name, value, getattr(settings, "model_revision", None))
    if len(found) == 1:
        return str(found[0][1])
    lines = "".join(f"{content or text}\n" for text, content in found)
    return hashlib.sha256(lines.encode()).hexdigest()


def _types(annotation: Any) -> tuple[Any, ...]:
    with suppress(Exception):
        return tuple(options_of(annotation))
    return ()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (f"{name}={text}" for name, text in value.items() if isinstance(text, str))
    elif isinstance(value, (list, tuple)):
        for each in value:
            if isinstance(each, (list, tuple)) and len(each) == 2 and all(isinstance(part, str) for part in each):
                yield f"{each[0]}={each[1]}"
            else:
                yield from _texts(each)


def _hub_commit(name: str, value: Any, revision: str | None) -> str:
    """The commit of a Hub model or data set in this user's cache; empty if it is not there."""
    if name not in NAMES_FOLDERS or not isinstance(value, str) or value.count("/") != 1:
        return ""
    from huggingface_hub.constants import HF_HUB_CACHE

    kind = "datasets" if name == "data_name" else "models"
    ref = Path(HF_HUB_CACHE, f"{kind}--{value.replace('/', '--')}", "refs", revision or "main")
    with suppress(OSError, ValueError):
        return f"commit {ref.read_text(encoding='utf-8').strip()}"
    return ""


def _is_commit(content: str) -> bool:
    return content.startswith("commit ")


def _code(cls: type[Any], given: Mapping[str, Any]) -> dict[str, str]:
    """The versions of the code that carries the pass out: graft's, that of an extension, and what settings name."""
    found = {"graft": graft_code()}
    if not cls.__module__.startswith("graft."):
        with suppress(OSError, TypeError):
            found[cls.__qualname__] = file_sha256(Path(inspect.getfile(cls)))
    able = set(code_settings().values())
    named = (text for name, value in given.items() if name in able for text in _texts(value))
    for reference in named:
        module = reference.rpartition(":")[0]
        if module.replace(".", "").isidentifier():
            with suppress(Exception):  # whatever importing its package may raise: running the pass says it
                spec = importlib.util.find_spec(module)
                if spec is not None and spec.origin is not None:
                    found[reference] = file_sha256(Path(spec.origin))
    return found


@lru_cache(1)
def graft_code() -> str:
    """graft's version; where it runs from a source checkout, with the SHA-256 of its files."""
    package = Path(_version.__file__).parent
    if package.parent.name != "src" or not (package.parent.parent / "pyproject.toml").is_file():
        return _version.__version__
    files = (path for path in package.rglob("*") if path.is_file() and path.suffix not in {".pyc", ".so", ".tmp"})
    lines = [f"{file_sha256(file)}  {file.relative_to(package).as_posix()}\n" for file in sorted(files)]
    return f"{_version.__version__}+{hashlib.sha256(''.join(lines).encode()).hexdigest()[:16]}"


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
