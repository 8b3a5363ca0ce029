"""Every alias of every setting is understood at each place of a workflow file, as it is on the command line."""

import typing
from pathlib import Path

import pytest

from graft.commands.workflow_file import read_workflow
from graft.commands.workflow_sections import EVAL, LOAD, LOADER, MODEL, PREPARING, SECTIONS
from graft.config import FinetuneSettings, option_names, options_of
from graft.planning.settings import settings_class

KNOWN = option_names(settings_class())
ALIASES = [(name, field) for name, field in KNOWN.items() if name != field and name not in SECTIONS]
PASS = {"type": "LoRA", "config": {}}
SAMPLES = {bool: True, int: 9, float: 0.5, str: "text", Path: "folder"}


def sample(field):
    kind = options_of(settings_class().model_fields[field].annotation)[0]
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)[-1]
    return SAMPLES.get(kind, {"a": 1} if field.endswith("arguments") else "a,b")


def settings(document):
    workflow = read_workflow(document, "w.yaml")
    return workflow, workflow.steps[0].settings


@pytest.mark.parametrize(("alias", "field"), ALIASES)
@pytest.mark.parametrize("dashed", [False, True])
def test_at_the_top_in_training_config_and_in_a_pass(alias, field, dashed):
    method = "qlora" if field == "quantization" else "adapters" if field == "non_linearity" else "lora"
    value = method if field == "method" else sample(field)
    name = alias.replace("_", "-") if dashed else alias
    passes = {"one": {"type": method, "config": {}}}
    workflow, wanted = settings({field: value, "passes": passes})
    assert getattr(wanted, field) not in (None, ())
    places = (
        {name: value, "passes": passes},
        {"training_config": {name: value}, "passes": passes},
        {"passes": {"one": {"type": method, "config": {name: value}}}},
    )
    for document in places:
        found, made = settings(document)
        assert getattr(made, field) == getattr(wanted, field), document
        assert found.output == workflow.output


@pytest.mark.parametrize(
    ("section", "names"),
    [("load_dataset_config", LOAD), ("pre_process_data_config", PREPARING), ("dataloader_config", LOADER)],
)
def test_in_each_section_of_the_data(section, names):
    for alias, field in ALIASES:
        if field in names.values():
            data = [{"name": "rows", section: {alias: sample(field)}}]
            _, made = settings({"data_configs": data, "passes": {"one": PASS}})
            _, wanted = settings({field: sample(field), "passes": {"one": PASS}})
            assert getattr(made, field) == getattr(wanted, field), (section, alias)


def test_in_the_model():
    for alias, field in ALIASES:
        if field in {*MODEL.values(), "model_revision", "token"}:
            _, made = settings({"model": {"config": {alias: "text"}}, "passes": {"one": PASS}})
            assert getattr(made, field) == "text", alias


def test_the_command_line_wins_by_any_name():
    document = {"output_dir": "below", "passes": {"one": PASS}}
    assert read_workflow(document, "w.yaml", {"output-dir": "above"}).output == Path("above")
    assert read_workflow(document, "w.yaml", {"o": "above"}).output == Path("above")
    assert set(EVAL) <= set(LOAD) and "output_dir" in option_names(FinetuneSettings)
