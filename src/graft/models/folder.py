"""A model folder as transformers writes it: checked without loading anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graft.errors import Problems, nearest
from graft.models.license import find_license
from graft.models.model_config import compare_sizes, plain_sizes, read_model_config
from graft.models.new_tokens import NewToken, read_record
from graft.models.own_files import refuse_foreign_links
from graft.models.weights import find_weights, read_headers, sha256_of

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


@dataclass(frozen=True)
class Base:
    """A model to start from, always a local folder.

    ``name`` is what finds it again: the embedded name, the hub id, or the absolute path of the folder or GGUF file.
    ``kind`` is ``embedded``, ``hub``, ``gguf`` or ``folder``; ``sha256`` is of the weight files (see ``sha256_of``).
    """

    name: str
    path: Path
    kind: str
    sha256: str
    license: str | None = None
    trust_remote_code: bool = False
    config: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    new_tokens: tuple[NewToken, ...] = ()
    """Tokens that its tokenizer and its embeddings get when they are loaded."""

    @property
    def label(self) -> str:
        """A short name to show to people."""
        return Path(self.name).name if self.kind in ("folder", "gguf") else self.name

    @property
    def text_config(self) -> dict[str, Any]:
        """The configuration of the part that reads text; of sizes that differ between layers, the largest."""
        return plain_sizes({**self.config, **(self.config.get("text_config") or {})})

    @property
    def embedding_rows(self) -> int | None:
        """The number of tokens that have an embedding, new ones included; None where the configuration has none."""
        rows = self.text_config.get("vocab_size")
        return None if rows is None else max(int(rows), *(token.id + 1 for token in self.new_tokens), 0)


def open_folder(path: Path, name: str, kind: str, trust_remote_code: bool = False) -> Base:
    """The base in ``path``, checked.

    Raises:
        InputError: with everything that is missing, cut short or unknown, at once.
    """
    problems = Problems()
    config: dict[str, Any] = {}
    with problems.collecting():
        config = read_model_config(path)
    headers = read_headers(path, problems)
    if not any((path / file).exists() for file in _TOKENIZER_FILES):
        problems.add("there is no tokenizer in this model folder", path, f"one of {', '.join(_TOKENIZER_FILES)}")
    if config:
        _check_architecture(config, path, trust_remote_code, problems)
    refuse_foreign_links(path, problems)
    problems.raise_if_any()
    if None not in headers.values():  # a pickle's shapes are not known before it is loaded
        tensors = {name: entry for header in headers.values() for name, entry in (header or {}).items()}
        compare_sizes(config, tensors, path / "config.json", problems)
    problems.raise_if_any()
    license = find_license(path, config, Path(name).name if kind in ("folder", "gguf") else name)
    hashed = sha256_of([*headers])
    return Base(name, path.absolute(), kind, hashed, license, trust_remote_code, config, read_record(path))


def is_whole(path: Path) -> bool:
    """Whether ``path`` holds a configuration and whole weights."""
    problems = Problems()
    if path.is_dir():
        with problems.collecting():
            read_model_config(path)
        find_weights(path, problems)
    return path.is_dir() and not problems


def _check_architecture(config: dict[str, Any], path: Path, trusted: bool, problems: Problems) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # type: ignore[attr-defined]

    kind = str(config["model_type"])
    if kind in CONFIG_MAPPING_NAMES or trusted:
        return
    if "auto_map" in config:
        problems.add(
            f"the architecture {kind!r} is defined by code that comes with the model",
            path / "config.json",
            "read that code, and pass --trust_remote_code if you trust it",
        )
    else:
        near = nearest(kind, CONFIG_MAPPING_NAMES)
        hint = f"the nearest known one is {near!r}" if near else "a newer version of transformers may know it"
        problems.add(f"the architecture {kind!r} is not known to transformers", path / "config.json", hint)
