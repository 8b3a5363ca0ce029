"""JSON Schema of workflow files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graft.commands.data_passes import PREPARE
from graft.commands.passes import ALIASES, PASSES, pass_class
from graft.commands.settings_schema import (
    TEXTS,
    any_case,
    settings_properties,
    training_properties,
    with_hyphens,
)
from graft.commands.workflow_sections import EVAL, LOAD, LOADER, MODEL, MODEL_LOADING, MODEL_TYPES, PREPARING
from graft.config import FinetuneSettings, Settings, StudySettings, option_names, takers
from graft.data.steps import STEPS
from graft.methods import METHODS
from graft.planning.settings import component_registries, settings_class
from graft.search.space_entry import KEYS
from graft.search.strategies import STRATEGIES

_SETTINGS = "/$defs/settings/properties"
_SPELLED = {
    "lora": "LoRA",
    "qlora": "QLoRA",
    "loha": "LoHa",
    "lokr": "LoKr",
    "ia3": "IA3",
    "oft": "OFT",
    "vera": "VeRA",
}
_TEXT: Mapping[str, Any] = {"type": ["string", "number"]}


def workflow_schema() -> dict[str, Any]:
    """Return the schema of what ``graft run`` and ``graft finetune --config`` read."""
    cls = settings_class()
    settings = {**training_properties(), **settings_properties(cls, _SETTINGS, component_registries())}
    named = {name: {"$ref": f"#{_SETTINGS}/{name}"} for name in settings}
    passes = _passes(cls)
    sections = {
        "model": {"description": "the model: its name or path, or a section", **_section_or_text(_model())},
        "input_model": {"description": "another name of model", **_section_or_text(_model())},
        "data_configs": {
            "description": "data sets, by name",
            "if": {"type": "array"},
            "then": {"items": _data()},
            "else": _data(),
        },
        "passes": passes,
        "training_config": {**_closed(named), "description": "settings of every tuning pass"},
        "workflow_id": {**_TEXT, "description": "the name of the workflow"},
        "search_strategy": _strategy(),
        "search_space": _space(named),
    }
    flat = {name: value for name, value in named.items() if name not in sections}
    return {
        **_closed({**sections, **flat}),
        "$defs": {
            **TEXTS,
            "settings": {"properties": settings},
            "dimension": _dimension(),
            **_definitions(named),
            **passes.pop("$defs"),
        },
    }


_OF_DATA: Mapping[str, Any] = {
    "train_data_config": {**_TEXT, "description": "the name of a data configuration to train on"},
    "eval_data_config": {**_TEXT, "description": "the name of a data configuration to judge by"},
}


def _section_or_text(section: Mapping[str, Any]) -> dict[str, Any]:
    return {"if": {"type": "object"}, "then": section, "else": {"type": ["string", "number", "null"]}}


def _closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping of these names alone."""
    patterns = with_hyphens(properties)
    found = {"type": ["object", "null"], "properties": dict(properties), "additionalProperties": False}
    return {**found, "patternProperties": patterns} if patterns else found


def _renamed(names: Mapping[str, str]) -> dict[str, Any]:
    """The properties of a section whose keys stand for settings, which may be called by their own names, too."""
    wanted = set(names.values())
    own = {alias: field for alias, field in option_names(FinetuneSettings).items() if field in wanted}
    return {
        name: {"anyOf": [{"$ref": f"#{_SETTINGS}/{field}"}, {"type": "null"}]}
        for name, field in {**own, **names}.items()
    }


def _model() -> dict[str, Any]:
    kinds = {"description": "PyTorchModel or HfModel", "type": "string", "pattern": any_case(MODEL_TYPES)}
    inner = _renamed({**MODEL, **MODEL_LOADING})
    loading = _closed(inner)
    return _closed(
        {**inner, "type": kinds, "load_kwargs": loading, "config": _closed({**inner, "load_kwargs": loading})}
    )


def _data() -> dict[str, Any]:
    def section(names: Mapping[str, str]) -> dict[str, Any]:
        inner = _renamed(names)
        return _closed({**inner, "type": {}, "params": _closed(inner)})

    return _closed(
        {
            "name": {**_TEXT, "description": "passes name it in train_data_config and eval_data_config"},
            "type": {"description": "accepted for compatibility"},
            "load_dataset_config": {**section({**LOAD, **EVAL_NAMES}), "description": "which rows"},
            "pre_process_data_config": {**section(PREPARING), "description": "how they become texts"},
            "dataloader_config": {**section(LOADER), "description": "how they are loaded"},
        }
    )


EVAL_NAMES: Mapping[str, str] = {name: LOAD[name] for name in EVAL}


def _others() -> Iterable[str]:
    """The names of passes that do not tune."""
    return dict.fromkeys(name for name in (*PASSES.names(), PREPARE, *STEPS.names()) if name != "finetune")


def _definitions(named: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of each kind of pass, and ``NAME_pass``: these in ``config``, or beside ``type``."""
    kinds: dict[str, Mapping[str, Any]] = {"tuning": {**named, **_OF_DATA, "training_args": _closed(named)}}
    kinds |= {name: _other_settings(name) for name in _others()}
    found: dict[str, Any] = {}
    for name, properties in kinds.items():
        found[name] = _closed(properties)
        beside = {each: {"$ref": f"#/$defs/{name}/properties/{each}"} for each in properties}
        found[f"{name}_pass"] = _closed({"type": True, "config": {"$ref": f"#/$defs/{name}"}, **beside})
    return found


def _other_settings(name: str) -> dict[str, Any]:
    config: type[Settings] = pass_class(name).Config
    if name not in STEPS.names():
        properties = settings_properties(config, f"/$defs/{name}/properties", component_registries())
    else:  # all of its settings are settings of prepare
        properties = {each: {"$ref": f"#/$defs/{PREPARE}/properties/{each}"} for each in option_names(config)}
    return {**properties, **(_OF_DATA if name in {PREPARE, *STEPS.names()} else {})}


def _passes(cls: type[FinetuneSettings]) -> dict[str, Any]:
    """Passes by name: a pass's ``type`` says which settings it takes, and its name where it has none."""
    methods = METHODS.names()
    known = {name: _tuning(cls, name) for name in (*methods, "finetune")}
    known |= {name: {"$ref": f"#/$defs/{name}_pass"} for name in _others()}
    known |= {alias: known[name] for alias, name in ALIASES.items() if name in known}
    names = [*(_SPELLED.get(name, name) for name in methods), "finetune", *_others()]
    kind = {
        "description": "a method, which tunes; prepare or one of its steps; another pass; or path/to/file.py:Name",
        "anyOf": [{"enum": names}, {"type": "string", "pattern": f"{any_case(known)}|^.+:.+$"}],
    }
    has_type = {"type": "object", "required": ["type"]}
    of_type = {
        name: {**has_type, "properties": {"type": {"type": "string", "pattern": any_case([name])}}} for name in known
    }
    any_pass = {
        "type": ["object", "null"],
        "properties": {"type": kind},
        "allOf": [{"if": condition, "then": known[name]} for name, condition in of_type.items()],
    }
    by_name = {any_case([name]): {"if": has_type, "else": schema} for name, schema in known.items()}
    return {
        "description": "what is done, in order; each pass has its type, and its settings beside it or in config",
        "type": "object",
        "minProperties": 1,
        "patternProperties": {**by_name, ".*": {"$ref": "#/$defs/pass"}, f"^(?!{any_case(known)[1:]})": has_type},
        "$defs": {"pass": any_pass},
    }


def _tuning(cls: type[FinetuneSettings], method: str) -> dict[str, Any]:
    """A pass that tunes: options of other methods do nothing in it."""
    unused: dict[str, Any] = {}
    for alias, field in option_names(cls).items() if method != "finetune" else ():
        taking = list(takers(cls, field))
        if taking and all(each.option == "method" and each.name != method for each in taking):
            unused[alias] = False
    other = {"properties": {**unused, "config": {"properties": unused}}}
    return {"allOf": [{"$ref": "#/$defs/tuning_pass"}, *([other] if unused else [])]}


def _strategy() -> dict[str, Any]:
    """A name, or a mapping with it and the options of the strategy."""
    options: dict[str, Any] = {}
    for _, strategy in STRATEGIES.items():
        options |= settings_properties(strategy.Config, "/properties/search_strategy/anyOf/0/properties", {})
    trials = settings_properties(StudySettings, "/$defs", {})["num_trials"]
    kind = {"anyOf": [{"enum": STRATEGIES.names()}, {"type": "string"}], "description": "how trials are chosen"}
    mapping = _closed({"type": kind, "num_trials": trials, **options})
    return {"description": "how trials of a search are chosen", "anyOf": [mapping, kind]}


def _space(named: Mapping[str, Any]) -> dict[str, Any]:
    dimensions = {name: {"description": f"values of {name} to search", **_DIMENSION} for name in named}
    return {**_closed(dimensions), "description": "settings to search, by name"}


_NUMBER: Mapping[str, Any] = {
    "anyOf": [{"type": "number"}, {"$ref": "#/$defs/number_text"}, {"$ref": "#/$defs/reference"}]
}
_DIMENSION: Mapping[str, Any] = {"$ref": "#/$defs/dimension"}
_ENTRY: Mapping[str, Mapping[str, Any]] = {
    "type": {"anyOf": [{"enum": ["float", "int", "choice"]}, {"type": "string"}]},
    "low": {**_NUMBER, "description": "the lowest value"},
    "high": {**_NUMBER, "description": "the highest value"},
    "log": {
        "description": "whether it is searched on a logarithmic scale",
        "anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/switch_text"}],
    },
    "step": {**_NUMBER, "description": "the distance of neighboring values"},
    "num": {**_NUMBER, "description": "the number of values of a grid"},
    "values": {"description": "the values of a choice"},
}


def _dimension() -> dict[str, Any]:
    """How one setting is searched; other tools' words are accepted, too."""
    properties = {name: _ENTRY[name] for name in dict.fromkeys(KEYS.values())}
    properties |= {
        alias: {**_ENTRY[name], "description": f"another name of {name}"}
        for alias, name in KEYS.items()
        if alias != name
    }
    entry = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"if": {"type": "object"}, "then": entry, "else": {"type": ["array", "string"]}}
