"""The settings of ``graft search``: those of every trial, those of the study, and those of its strategy; no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import create_model

from graft.config import Component, FinetuneSettings, build, compose, config_of, one_of, option_names, takers
from graft.config.search import StudySettings
from graft.documents import read_yaml
from graft.errors import InputError, Key, Problems, located, need_extra, renamed
from graft.files import expanded
from graft.planning.settings import finetune_settings, laid_over, settings_class
from graft.registry import installed_names
from graft.search.space import SearchSpace
from graft.search.space_reading import component_choices, read_space
from graft.search.strategies import STRATEGIES, Strategy, strategy_settings

Where = str | Callable[[str], str]


def study_class(*given: Mapping[str, Any]) -> type[StudySettings]:
    """Return the settings of a study, with the options of its strategies: built in, named, and installed."""
    names = {*STRATEGIES.builtin, *(mapping["search_strategy"] for mapping in given if _names_strategy(mapping))}
    components = []
    for name in sorted(names):
        with suppress(InputError):  # whoever needs the strategy says why it does not load
            components.append(Component("search_strategy", name, STRATEGIES.get(name).Config))
    made = compose(StudySettings, components)
    for name in sorted({*installed_names(STRATEGIES.group)} - names):
        with suppress(InputError):  # a package that is not used here is no reason to refuse the rest
            components = [*components, Component("search_strategy", name, STRATEGIES.get(name).Config)]
            made = compose(StudySettings, components)
    return made


def _names_strategy(given: Mapping[str, Any]) -> bool:
    return isinstance(given.get("search_strategy"), str)


def search_class(*given: Mapping[str, Any]) -> type[StudySettings]:
    """Return the settings of a search: those of ``graft finetune`` with its components, and those of the study."""
    return _composed(study_class(*given), settings_class(*given))


@lru_cache
def _composed(of_study: type[StudySettings], of_trials: type[FinetuneSettings]) -> type[StudySettings]:
    made: Any = create_model("SearchSettings", __base__=(of_study, of_trials))
    made.components = (*of_study.components, *of_trials.components)
    made.__doc__ = "All settings of ``graft search``."
    return made  # type: ignore[no-any-return]


def search_settings(values: Mapping[str, Any], where: Where = "") -> StudySettings:
    """Return the settings of a search, checked, its space and its strategy included.

    Args:
        values: Settings by any of their names; ``search_space`` as a mapping, as text, or the name of a YAML file;
            ``search_strategy`` by name, or as the mapping of a workflow file.
        where: The file, or a function that returns the file of a name; "" means the command line.

    Raises:
        InputError: With everything that is unknown, or out of bounds, or cannot be searched.
    """
    problems = Problems()
    place = where if callable(where) else lambda name: where
    values = _flat(values, place, problems)
    known = option_names(study_class(values))
    of_study = {name: value for name, value in values.items() if name.replace("-", "_") in known}
    rest = {name: value for name, value in values.items() if known.get(name.replace("-", "_")) in (None, "seed")}
    study: StudySettings | None = None
    trials: FinetuneSettings | None = None
    given: Any = None
    with problems.collecting():
        study = build(study_class(values), of_study, place, lambda made: _check_strategy(made, of_study, place))
    with problems.collecting():
        trials = finetune_settings(rest, place, others=known)
    named = next((name for name in of_study if known[name.replace("-", "_")] == "search_space"), "search_space")
    if named not in of_study and study is not None and study.resume and trials is not None:
        return search_class(values)(**_set(trials), **_set(study))  # those of the search to resume
    with problems.collecting():
        given, file = _space_given(of_study.get(named), place(named))
        read_space(given, settings_class(rest, *component_choices(given)), file)
    problems.raise_if_any()
    assert trials is not None and study is not None
    found = {**_set(trials), **_set(study), "search_space": given}
    return search_class(values, *component_choices(given))(**found)


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings in one; ``above`` wins, whichever of its names a setting is called by."""
    known = option_names(study_class(below, above))
    typed = {known[name.replace("-", "_")] for name in above if name.replace("-", "_") in known}
    left = {name: value for name, value in below.items() if known.get(name.replace("-", "_")) not in typed}
    return laid_over(left, above)


def _flat(values: Mapping[str, Any], where: Callable[[str], str], problems: Problems) -> dict[str, Any]:
    """``values`` with the settings of a strategy's mapping beside the others; the others win."""
    names = {name for name, field in option_names(StudySettings).items() if field == "search_strategy"}
    found = dict(values)
    for name in [name for name in values if name.replace("-", "_") in names]:
        with problems.collecting():
            settings = strategy_settings(found.pop(name), where(name))
            found = {**{_named_at(name, key): value for key, value in settings.items()}, **found}
    return found


def _named_at(section: str, name: str) -> str:
    """A setting's name, with the place of the section where it has none of its own."""
    return name if isinstance(name, Key) else renamed(section, name)


def _check_strategy(settings: Any, given: Mapping[str, Any], where: Callable[[str], str]) -> None:
    """Check that there is such a strategy, and that it takes the options, each with its place in a file.

    Raises:
        InputError: If there is none, it needs what is not installed, or an option is another strategy's.
    """
    name = next((name for name in given if name == "search_strategy"), "search_strategy")
    place = located(where(name), name, of_value=True)
    try:
        strategy = _strategy(settings)
    except InputError as error:
        raise type(error)(*[replace(each, where=each.where or place) for each in error.problems]) from None
    problems = Problems()
    for option in (name for name in given if name.replace("-", "_") not in option_names(StudySettings)):
        taking = one_of(component.name for component in takers(type(settings), option.replace("-", "_")))
        if option.replace("-", "_") not in option_names(strategy.Config) and taking:
            what = f"--{option} would do nothing: --search_strategy is {settings.search_strategy}"
            remedy = f"omit it, or --search_strategy {taking}"
            problems.add(what, located(where(option), option), remedy)
    problems.raise_if_any()


def _strategy(settings: Any) -> Any:
    """The strategy that was chosen, if what it needs is installed."""
    strategy = STRATEGIES.get(settings.search_strategy)
    for extra, module in strategy.needs:
        if find_spec(module) is None:
            raise need_extra(extra, module)
    return strategy


def _set(settings: Any) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.model_fields_set}


def _space_given(given: Any, place: str) -> tuple[Any, str]:
    """The space as it was written, and its file: another one, where ``given`` is the name of it.

    Raises:
        InputError: If the file cannot be read, or no space was given.
    """
    if given is None:
        what = "no search space is given"
        raise InputError(what, where=place, remedy="--search_space 'learning_rate=1e-5..1e-3 log, lora_r=8..64'")
    if isinstance(given, str) and given.lower().endswith((".yaml", ".yml", ".json")):
        path = expanded(given)
        document = read_yaml(path)
        return document.get("search_space", document), str(path)
    return given, place


class Searched:
    """What a search varies, read from its settings.

    Attributes:
        study: The settings of the study.
        shared: The settings that all trials share, by name; values as in JSON.
        space: What is searched.
        strategy: Chooses the trials.
        cls: The settings of a trial, with the options of all components that a trial may have.
    """

    def __init__(self, settings: StudySettings) -> None:
        self.study = settings
        self.shared = shared_values(settings)
        self.cls = settings_class(self.shared, *component_choices(settings.search_space))
        self.space: SearchSpace = read_space(settings.search_space, self.cls)
        strategy: Any = STRATEGIES.get(settings.search_strategy)
        self.strategy: Strategy = strategy(config_of(settings, strategy.Config))


def shared_values(settings: StudySettings) -> dict[str, Any]:
    """Return the settings of ``graft finetune`` that were given for all trials; paths as text, as in a file."""
    of_study = set(study_class(_set(settings)).model_fields) - {"seed"}
    found: dict[str, Any] = settings.model_dump(mode="json", include=settings.model_fields_set - of_study)
    return {**found, "seed": settings.seed}


def trial_values(cls: type[FinetuneSettings], shared: Mapping[str, Any], searched: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a trial: ``searched`` over ``shared``, without the options of methods not chosen.

    A search over methods has options that only some of them take; the others' trials do without.

    Args:
        cls: The settings, with the options of all components.
        shared: The settings of all trials, by their own names.
        searched: The searched ones.
    """
    together = laid_over(shared, searched)
    unused = set(_unused(cls, together))
    return {name: value for name, value in together.items() if name not in unused}


def trial_settings(
    cls: type[FinetuneSettings], shared: Mapping[str, Any], searched: Mapping[str, Any]
) -> FinetuneSettings:
    """Return the settings of ``graft finetune`` that make a trial; the arguments are those of ``trial_values``.

    Raises:
        InputError: If they contradict each other.
    """
    return finetune_settings(trial_values(cls, shared, searched))


def effective(cls: type[FinetuneSettings], shared: Mapping[str, Any], searched: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``searched`` that the trial has."""
    values = trial_values(cls, shared, searched)
    return {name: value for name, value in searched.items() if name in values}


def _unused(cls: type[FinetuneSettings], values: Mapping[str, Any]) -> Iterator[str]:
    chosen = {option: values.get(option, cls.model_fields[option].default) for option in ("method", "loss")}
    for name in values:
        taking = [component for component in takers(cls, name) if component.option in chosen]
        if taking and not any(chosen[component.option] == component.name for component in taking):
            yield name


def free_folder(settings: Any) -> Path:
    """Return the folder of a search: as given, or ``runs/DATA-search``, with a number where that is taken."""
    if settings.output_path is not None:
        return Path(settings.output_path)
    source = str(settings.data_files[0] if settings.data_files else settings.data_name or "data")
    stem = Path(source).stem.replace("*", "all") or "data"
    folder, number = Path("runs") / f"{stem}-search", 2
    while folder.exists():
        folder, number = Path("runs") / f"{stem}-search-{number}", number + 1
    return folder
