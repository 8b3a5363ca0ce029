"""The settings of ``graft finetune`` with the options of every component: methods, tasks and losses."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from graft.config import Component, FinetuneSettings, Settings, build, compose, option_names
from graft.errors import InputError, Key, Problems, located, renamed
from graft.methods import METHODS
from graft.registry import Registry, absolute_reference, installed_names

S = TypeVar("S", bound=Settings)


def settings_class(*given: Mapping[str, Any]) -> type[FinetuneSettings]:
    """``FinetuneSettings`` with the options of all components that are known.

    Known are the built-in components, the installed ones, and those that ``given`` names by path.

    Args:
        given: settings as they were written, by any of their names.

    Raises:
        InputError: when a component that is chosen has an option that graft or another component has already.
    """
    names = option_names(FinetuneSettings)
    chosen: dict[str, set[str]] = {option: set() for option in _REGISTRIES}
    for mapping in given:
        for name, value in mapping.items():
            option = names.get(str(name).replace("-", "_"), "")
            if option in chosen and isinstance(value, str):
                chosen[option].add(absolute_reference(value))
    return _composed(chosen)


def _composed(chosen: Mapping[str, set[str]]) -> type[FinetuneSettings]:
    """First what is built in and what is chosen, then whatever else is installed and agrees with these."""
    components = [
        Component(option, name, registry.get(name).Config)
        for option, registry in (("method", METHODS), ("loss", _losses()))
        for name in registry.builtin
    ]
    for option, wanted in chosen.items():
        for name in sorted(wanted):
            with suppress(InputError):  # whoever needs the component says why it does not load
                components += _component(option, name)
    made = compose(FinetuneSettings, components)
    for option in _REGISTRIES:
        for name in _installed(option) - chosen[option]:
            with suppress(InputError):  # a package that is not used here is no reason to refuse the rest
                components = [*components, *_component(option, name)]
                made = compose(FinetuneSettings, components)
    return made


def _component(option: str, name: str) -> Iterator[Component]:
    """The component, unless it is built in and so known already, or has no options."""
    if option in {"method", "loss"} and name in _REGISTRIES[option]().builtin:
        return
    if option != "method" and ":" not in name and name not in _installed(option):
        return
    config = getattr(_REGISTRIES[option]().get(name), "Config", Settings)
    if isinstance(config, type) and issubclass(config, Settings) and config is not Settings:
        yield Component(option, name, config)


def _installed(option: str) -> set[str]:
    return set(installed_names(f"graft.{option}"))


def _methods() -> Registry[Any]:
    return METHODS


def _tasks() -> Registry[Any]:
    from graft.tasks import TASKS

    return TASKS


def _losses() -> Registry[Any]:
    from graft.training.losses import LOSSES

    return LOSSES


_REGISTRIES: Mapping[str, Callable[[], Registry[Any]]] = {"method": _methods, "task": _tasks, "loss": _losses}
"""By the option that chooses one; imported when they are needed, since tasks import numpy."""


def component_registries() -> Mapping[str, Callable[[], Registry[Any]]]:
    """Return where the components are that an option chooses: the method, the task, the loss."""
    return _REGISTRIES


def finetune_settings(
    values: Mapping[str, Any],
    where: str | Callable[[str], str] = "",
    check: Callable[[FinetuneSettings], object] | None = None,
    others: Collection[str] = (),
) -> FinetuneSettings:
    """Settings of ``graft finetune``, of its components, and ``transformers.TrainingArguments``, in one mapping.

    Args:
        values: settings by any of their names, to values as they are written.
        where: the file they stand in, or a function that says for each name in which (see ``build``).
        check: looks at the settings further; what it refuses gets the place of the first option that it names.
        others: names of settings of the same command, which an unknown name may stand for.

    Raises:
        InputError: when anything is unknown or out of bounds; all of it at once.
    """
    cls = settings_class(values)
    known = option_names(cls)
    values = _lifted(values, known)
    own = {name: value for name, value in values.items() if name.replace("-", "_") in known}
    extra = {name: value for name, value in values.items() if name not in own}
    problems = Problems()
    if extra:
        from graft.training.arguments import check_fields

        valid = {}
        for name, value in extra.items():
            with problems.collecting():
                check_fields({name: value}, {*known, *others}, where if callable(where) else lambda name: where)
                valid[name] = value
        given = own.get("training_arguments") or {}
        if isinstance(given, Mapping):  # whatever else it is, is refused below
            own["training_arguments"] = {**given, **valid}
    settings: FinetuneSettings | None = None
    with problems.collecting():
        settings = build(cls, own, where, check and (lambda made: placed(check, made, values, where)))
    with problems.collecting():
        _check_method(own, known, where)
    problems.raise_if_any()
    assert settings is not None
    if ":" not in settings.method:
        return settings
    return settings.model_copy(update={"method": absolute_reference(settings.method)})


def _check_method(given: Mapping[str, Any], known: Mapping[str, str], where: str | Callable[[str], str]) -> None:
    """Check the name of the method, without importing it; one in a file is loaded where it is needed.

    Raises:
        InputError: If no method has this name.
    """
    for key, name in given.items():
        if known[key.replace("-", "_")] != "method" or not isinstance(name, str) or ":" in name:
            continue
        if name not in METHODS.names():
            place = located(where(key) if callable(where) else where, key, of_value=True)
            try:
                METHODS.get(name)
            except InputError as error:
                raise InputError(*[replace(problem, where=place) for problem in error.problems]) from None


def placed(
    check: Callable[[S], object],
    settings: S,
    values: Mapping[str, Any],
    where: str | Callable[[str], str],
) -> None:
    """Run ``check``, and say where in a file the first setting is that a problem names.

    Raises:
        InputError: What ``check`` raises, with places.
    """
    try:
        check(settings)
    except InputError as error:
        passed = values.get("training_arguments")
        keys = {name.replace("-", "_"): name for name in (*values, *(passed if isinstance(passed, Mapping) else ()))}
        known = option_names(type(settings))
        keys |= {known[name]: key for name, key in keys.items() if name in known}
        found = []
        for problem in error.problems:
            named = next((keys[name] for name in _OPTION.findall(problem.what) if name in keys), None)
            place = (where(named) if callable(where) else where) if named is not None else ""
            at = located(place, named) if isinstance(named, Key) else ""
            found.append(replace(problem, where=problem.where or at))
        raise InputError(*found) from None


_OPTION = re.compile(r"--(\w+)")


def _lifted(values: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """``values`` with the settings of graft's own that stand among ``training_arguments`` beside the others.

    One that is given in both places with different values stays, and is said when the settings are checked.
    """
    passed = values.get("training_arguments")
    if not isinstance(passed, Mapping):
        return dict(values)
    own = {name: value for name, value in passed.items() if str(name).replace("-", "_") in known}
    lifted = {name: value for name, value in own.items() if values.get(name, value) == value}
    rest = {name: value for name, value in passed.items() if name not in lifted}
    return {**values, **lifted, "training_arguments": rest}


def unnamed(settings: FinetuneSettings, problems: Problems) -> None:
    """Add a problem where no model is named, and one where no data is."""
    if settings.model_name_or_path is None and settings.adapter_path is None:
        problems.add("no model is given", remedy="--model_name_or_path FOLDER, or smollm2-135m-instruct to start with")
    if settings.data_name is None and settings.data_files is None:
        problems.add("no data is given", remedy="--data_files rows.jsonl, or --data_name with a file, folder or hub id")


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings in one; ``above`` wins, whichever of its names a setting is called by."""
    known = option_names(settings_class(below, above))

    def setting(name: str) -> str:
        """The setting that ``name`` stands for: an alias, or the name with hyphens; unknown names stay."""
        key = str(name).replace("-", "_")
        return known.get(key, key)

    named = {setting(name) for name in above}
    return {name: value for name, value in below.items() if setting(name) not in named} | dict(above)


def by_setting(given: Mapping[str, Any], *others: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` by the settings' own names in place of aliases; one that is given by two names keeps both.

    Args:
        given: settings by any of their names.
        others: further settings, in which components may be named whose options ``given`` has.
    """
    known = option_names(settings_class(given, *others))
    found: dict[str, Any] = {}
    for name, value in given.items():
        key = str(name).replace("-", "_")
        canonical = known.get(key, str(name))
        ours = canonical not in found and (canonical == name or canonical not in given)
        found[renamed(name, canonical) if ours else name] = value
    return found
