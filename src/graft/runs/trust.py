"""Code that a file, a run folder or a bundle names runs only with the user's consent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from graft.config import (
    DoctorSettings,
    EvaluateSettings,
    ExportSettings,
    FinetuneSettings,
    HubSettings,
    PrepareSettings,
    StudySettings,
    option_names,
)
from graft.errors import InputError, Problems
from graft.registry import absolute_reference


def refuse_code(
    reference: str | None,
    where: str,
    trusted: bool,
    given: bool = False,
    what: str = "a column mapping",
    instead: str | None = None,
) -> None:
    """Refuse an extension that a run folder or a bundle names by its file or module: the folder can be from anywhere.

    Args:
        reference: The recorded name; one with a colon, ``FILE.py:NAME`` or ``module:NAME``, is code.
        where: The folder that names it.
        trusted: Whether ``--trust_remote_code`` was given.
        given: Whether the user named an extension of this kind, which is used instead.
        what: What the extension is, with its article.
        instead: An option that names another one, such as ``--metrics``.

    Raises:
        InputError: If it is code, and the user neither gave one nor trusts the folder.
    """
    if reference is None or ":" not in reference or trusted or given:
        return
    other = f", or give {instead}" if instead else ""
    raise InputError(
        f"this folder names {what} from a file, {reference}",
        where=where,
        remedy=f"add --trust_remote_code to run that file{other}",
    )


FLAG = "trust_remote_code"


@cache
def code_settings() -> Mapping[str, str]:
    """Return each setting that can name code, by its name and aliases."""
    found = {"type": "type", "metric_for_best_model": "metric_for_best_model"}
    for cls in (FinetuneSettings, EvaluateSettings, ExportSettings, DoctorSettings, PrepareSettings, StudySettings):
        found |= {name: setting for name, setting in option_names(cls).items() if setting in _NAME_CODE}
    return found


_NAME_CODE = frozenset(
    {"method", "loss", "task", "column_mapping", "metrics", "format", "checks", "steps", "search_strategy"}
)


def named_code(document: Any) -> Iterator[str]:
    """Yield the references to code in settings, ``FILE.py:NAME`` and ``module:NAME``, at any depth."""
    if isinstance(document, (list, tuple)):
        for each in document:
            yield from named_code(each)
    elif isinstance(document, Mapping):
        for name, value in document.items():
            setting = str(name).replace("-", "_").rpartition(".")[2]
            if setting in code_settings():
                parts = (part for text in _texts(value) for part in _parts(text))
                yield from (part for part in parts if ":" in part)
            elif setting in _SPACES and isinstance(value, str):
                pairs = (part.partition("=") for part in re.split(r",\s*(?=[A-Za-z_][\w.-]*\s*=)", value))
                yield from named_code([{name.strip(): values} for name, _, values in pairs])
            yield from named_code(value)


_SPACES = frozenset(name for name, setting in option_names(StudySettings).items() if setting == "search_space")
_CHOICES = frozenset({"values", "choices", "categories", "options", "grid_search"})
"""Where the choices of a setting stand in a search space."""


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a setting: itself, those of a list, and the choices of a search space."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        yield from chain.from_iterable(map(_texts, value))
    elif isinstance(value, Mapping):
        chosen = (each for name, each in value.items() if str(name).lower() in _CHOICES)
        yield from chain.from_iterable(map(_texts, chosen))


_COSTS_ON_A_DRIVE = re.compile(r"\A[^=:]+=\s*[A-Za-z]:[\\/][^:]*")
"""``cost=C:\\costs.csv``: a metric's matrix, whose colon names no code."""


def _parts(text: str) -> Iterator[str]:
    """Yield the parts of a list, of the choices of a search space, and of ``NAME=VALUES``."""
    for part in re.split(r"[,|]", text):
        if _COSTS_ON_A_DRIVE.fullmatch(part.strip()):
            continue
        yield from (part.strip(), *([part.partition("=")[2].strip()] if "=" in part else []))


def asks_for_trust(document: Any) -> bool:
    """Return whether settings, at any depth, have a ``trust_remote_code`` that is neither false nor null."""
    if isinstance(document, Mapping):
        said = [value for name, value in document.items() if _is_flag(name) and value is not None]
        return any(_truth(value) is not False for value in said) or any(map(asks_for_trust, document.values()))
    return isinstance(document, (list, tuple)) and any(map(asks_for_trust, document))


def without_trust(document: Any) -> Any:
    """Return settings without ``trust_remote_code``, at any depth: a file cannot give consent."""
    if isinstance(document, Mapping):
        return {name: without_trust(value) for name, value in document.items() if not _is_flag(name)}
    return list(map(without_trust, document)) if isinstance(document, (list, tuple)) else document


def _is_flag(name: Any) -> bool:
    return str(name).replace("-", "_") == FLAG


def consent_words(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return ``--trust_remote_code`` if a command that reads ``settings`` from a file needs it."""
    return (f"--{FLAG}",) if asks_for_trust(settings) or any(named_code(settings)) else ()


def is_typed(options: Mapping[str, Any]) -> bool:
    """Return whether ``--trust_remote_code`` was given on the command line."""
    return _truth(options.get(FLAG)) is True


def _truth(value: Any) -> bool | None:
    """Return the flag's value as a boolean; None if it is invalid."""
    try:
        return HubSettings(trust_remote_code=value).trust_remote_code
    except ValidationError:
        return None


def typed_code(words: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """Return the references to code that were typed, as a word, an option's value, or part of a list.

    Args:
        words: The words of the command line that belong to no option.
        options: The options' values by name.
    """
    values = [value if isinstance(value, list) else [value] for value in options.values()]
    texts = [text for text in (*words, *chain(*values)) if isinstance(text, str) and ":" in text]
    return [part.strip() for text in texts for part in (text, *_parts(text)) if ":" in part]


def check_file(
    document: Mapping[str, Any], where: str, trusted: bool, typed: Mapping[str, Any] = MappingProxyType({})
) -> tuple[dict[str, Any], list[str]]:
    """Check that the user consented to the code that a settings file names; the file itself cannot give consent.

    Args:
        document: The settings in the file.
        where: Its path.
        trusted: Whether ``--trust_remote_code`` was typed, or passed as a keyword.
        typed: Settings that were typed; code that they name may be run.

    Returns:
        The settings without ``trust_remote_code``, and the code that they name and that will be run.

    Raises:
        InputError: Naming all code in the file, if the user did not consent.
    """
    allowed = set(map(absolute_reference, named_code(typed)))
    code = [each for each in dict.fromkeys(named_code(document)) if absolute_reference(each) not in allowed]
    problems = Problems()
    if not trusted:
        for reference in code:
            remedy = f"read that code, and add --{FLAG} to the command line if you trust it"
            problems.add(f"this file names code to run, {reference!r}", where, remedy)
        if not code and asks_for_trust(document):
            remedy = f"add --{FLAG} to the command line if you trust the model's code, or remove it from the file"
            problems.add(f"{FLAG} in a file does not count as consent", where, remedy)
    problems.raise_if_any()
    return without_trust(document), code
