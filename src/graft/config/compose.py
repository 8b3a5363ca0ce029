"""Composition of a command's settings with the ``Config`` of each of its components."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import create_model
from pydantic.fields import FieldInfo

from graft.config.base import Settings, build, option_names
from graft.errors import InputError

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Component:
    """A component whose options a command takes.

    Attributes:
        option: the option that chooses it, such as ``method``.
        name: its name, as given to that option.
        config: its own settings.
    """

    option: str
    name: str
    config: type[Settings]

    def __str__(self) -> str:
        return f"--{self.option} {self.name}"


def compose(core: type[S], components: Iterable[Component]) -> type[S]:
    """Return ``core`` extended with the options of ``components``.

    Components may share an option that they declare alike. Where their defaults differ the composed one is None, and
    ``config_of`` gives each component its own.

    Raises:
        InputError: when an option is one of ``core``, or is declared in different ways; both sides are named.
    """
    return _composed(core, tuple(components))  # type: ignore[return-value]


@lru_cache
def _composed(core: type[Settings], components: tuple[Component, ...]) -> type[Settings]:
    taken = dict.fromkeys(option_names(core), "graft's own")
    fields: dict[str, tuple[Any, FieldInfo]] = {}
    owners: dict[str, Component] = {}
    for component in components:
        names = option_names(component.config)
        for name, info in component.config.model_fields.items():
            if name in fields and _declared_alike(info, fields[name][1]):
                if info.get_default() != fields[name][1].get_default():
                    fields[name] = (info.annotation | None, _by_component(info))  # type: ignore[operator]
                continue
            for option in (option for option, field in names.items() if field == name):
                if option in taken:
                    raise _conflict(component, option, taken[option], core)
            fields[name], owners[name] = (info.annotation, info), component
            taken |= {option: str(component) for option, field in names.items() if field == name}
    made = create_model(core.__name__, __base__=core, **fields)  # type: ignore[call-overload]
    made.components, made.__doc__, made.__module__ = components, core.__doc__, core.__module__
    return made  # type: ignore[no-any-return]


def _declared_alike(one: FieldInfo, other: FieldInfo) -> bool:
    return (one.annotation, one.json_schema_extra) == (other.annotation, other.json_schema_extra) or (
        one.annotation is not None
        and other.annotation == one.annotation | None
        and one.json_schema_extra == other.json_schema_extra
    )


def _by_component(info: FieldInfo) -> FieldInfo:
    made = FieldInfo.merge_field_infos(info, default=None)
    made.metadata = info.metadata
    return made


def _conflict(component: Component, option: str, other: str, core: type[Settings]) -> InputError:
    return InputError(
        f"{component} has an option --{option}, which already exists as {other} option",
        where=f"{component.config.__module__}.{component.config.__qualname__}",
        remedy=f"rename the option: {core.__name__} cannot have two options of one name",
    )


def config_of(settings: Settings, cls: type[S]) -> S:
    """The part of composed ``settings`` that one component takes, as its own ``Config``, with its own defaults.

    Raises:
        InputError: when a validator of the component refuses a value.
    """
    given = {name: getattr(settings, name) for name in cls.model_fields if name in settings.model_fields_set}
    made: S = build(cls, given)
    return made


def takers(cls: type[Settings], field: str) -> Iterator[Component]:
    """The components of composed settings that take ``field``."""
    return (component for component in cls.components if field in component.config.model_fields)
