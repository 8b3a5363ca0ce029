"""The base settings class, and validation of user input."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from graft.config.describe import bounds, in_words, names_of, options_of, refusal, takes_several
from graft.config.types import as_path
from graft.documents import shown
from graft.errors import Problem, Problems, did_you_mean, located
from graft.plain_text import lone_surrogate


def setting(default: Any, help: str, *aliases: str, **bounds: Any) -> Any:
    """A field of a settings class; ``aliases`` are alternative names."""
    extra: dict[str, Any] = {"aliases": list(aliases)}
    return Field(default=default, description=help, json_schema_extra=extra, **bounds)


LARGEST_NUMBER = 10**15

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of all settings classes: frozen, and unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), coerce_numbers_to_str=True, allow_inf_nan=False
    )
    components: ClassVar[tuple[Any, ...]] = ()
    """What has brought options of its own (``graft.config.compose``)."""

    @field_validator("*", mode="before")
    @classmethod
    def _at_home(cls, value: Any, info: ValidationInfo) -> Any:
        """Expand ``~`` in paths, which shells do but YAML and Python do not."""
        name = info.field_name or ""
        if isinstance(value, (str, Path)) and Path in options_of(cls.model_fields[name].annotation):
            return as_path(value, output=name == "output_path")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _usable(cls, value: Any) -> Any:
        """Reject values that would fail only later, in a computation or when written."""
        if _has_lone_surrogate(value):
            raise ValueError(f"is {shown(value)}, which is not valid UTF-8")
        if isinstance(value, (int, float)) and abs(value) > LARGEST_NUMBER:
            raise ValueError(f"is {shown(value)}, which is too large")
        return value

    def part(self, cls: type[S]) -> S:
        """Return those of the given settings that belong to ``cls``, and its defaults for the rest."""
        return cls(**{name: getattr(self, name) for name in self.model_fields_set if name in cls.model_fields})


def option_names(cls: type[Settings]) -> dict[str, str]:
    """Map every accepted name, including aliases, to its setting."""
    names: dict[str, str] = {}
    for field, info in cls.model_fields.items():
        extra = info.json_schema_extra
        aliases = extra.get("aliases") if isinstance(extra, dict) else None
        for name in (field, *map(str, aliases if isinstance(aliases, list) else ())):
            names[name] = field
    return names


def build(
    cls: type[Settings],
    given: Mapping[str, Any],
    where: str | Callable[[str], str] = "",
    check: Callable[[Any], object] | None = None,
) -> Any:
    """Validate ``given`` (names or aliases to values) into ``cls``.

    Args:
        cls: The settings.
        given: The values.
        where: The file with the settings, or a function that returns the file of a name; "" means the command line.
        check: Looks at the settings further, also at the valid ones beside those that are not.

    Raises:
        InputError: with all unknown names, duplicate names, and invalid values, and with what ``check`` raises.
    """
    problems = Problems()
    names = option_names(cls)
    values: dict[str, Any] = {}
    typed: dict[str, tuple[str, str]] = {}
    for name, value in given.items():
        key = name.replace("-", "_")
        place = where(name) if callable(where) else where
        shown = name if place else f"--{name}"
        if key not in names:
            what = f"unknown setting {shown}" if place else f"unknown option {shown}"
            problems.add(what, located(place, name), did_you_mean(key, names))
        elif names[key] in values and values[names[key]] != value:
            other = typed[names[key]][0]
            problems.add(f"{shown} and {other} are the same setting, given with different values", located(place, name))
        else:
            values[names[key]], typed[names[key]] = value, (shown, located(place, name, of_value=True))
    wrong = _invalid(cls, values, typed)
    problems.found.extend(wrong.values())
    if check is not None:
        with problems.collecting():
            check(cls(**{field: value for field, value in values.items() if field not in wrong}))
    problems.raise_if_any()
    return cls(**values)


def _invalid(
    cls: type[Settings], values: Mapping[str, Any], typed: Mapping[str, tuple[str, str]]
) -> dict[str, Problem]:
    """What is wrong with the value of each field, where something is."""
    # What is typed without a value is True, which pydantic would take for the number 1.
    wrong = {field: "" for field, value in values.items() if value is True and not _is_flag(cls.model_fields[field])}
    try:
        cls(**values)
    except ValidationError as error:
        wrong |= {str(detail["loc"][0]): _own_words(detail) for detail in error.errors()}
    found: dict[str, Problem] = {}
    for field in filter(wrong.__contains__, values):
        name, place = typed[field]
        info = cls.model_fields[field]
        if wrong[field]:
            found[field] = Problem(f"{name} {wrong[field]}", place)
            continue
        kind = f"{in_words(info.annotation)} {bounds(info)}".strip()
        what = f"{name} {refusal(kind, values[field], takes_several(info.annotation))}"
        found[field] = Problem(what, place, _meant(values[field], names_of(info.annotation)))
    return found


def _has_lone_surrogate(value: Any) -> bool:
    """Whether a string in ``value`` contains one, such as a byte of the command line that is not UTF-8."""
    if isinstance(value, Mapping):
        return any(_has_lone_surrogate(name) or _has_lone_surrogate(each) for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return any(map(_has_lone_surrogate, value))
    return isinstance(value, str) and lone_surrogate(value) is not None


def _own_words(detail: Any) -> str:
    """What a validator of graft or of a component says."""
    return str(detail.get("ctx", {}).get("error", "")) if detail["type"] == "value_error" else ""


def _meant(value: Any, names: Sequence[str]) -> str:
    """Return the nearest of ``names`` for each text of ``value`` that is none of them."""
    texts = value.split(",") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else ()
    unknown = [str(text).strip() for text in texts if str(text).strip() not in names]
    return " ".join(filter(None, (did_you_mean(text, names) for text in unknown)))


def _is_flag(info: FieldInfo) -> bool:
    return bool in (info.annotation, *typing.get_args(info.annotation))
