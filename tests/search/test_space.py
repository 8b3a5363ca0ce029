"""What users write as a search space is read, or refused with everything wrong in it at once."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.documents import parse_yaml
from graft.errors import InputError
from graft.planning.settings import settings_class
from graft.search.space import Dimension, SearchSpace
from graft.search.space_reading import FIXED, component_choices, read_space


def read(given, where=""):
    return read_space(given, settings_class({}, *component_choices(given)), where)


def refused(given, where="search.yaml"):
    with pytest.raises(InputError) as caught:
        read(given, where)
    return [str(problem) for problem in caught.value.problems]


THE_CHAPTERS = """
learning_rate: {type: "float", low: 1e-6, high: 1e-3, log: true}
lora_r: {type: "int", low: 8, high: 64}
batch_size: {type: "choice", values: [8, 16, 32]}
"""
OF_THE_CHAPTER = (
    Dimension("learning_rate", "float", 1e-6, 1e-3, log=True),
    Dimension("lora_r", "int", 8, 64),
    Dimension("per_device_train_batch_size", "choice", values=(8, 16, 32)),
)


def test_the_chapters_space_as_it_stands():
    assert read(parse_yaml(THE_CHAPTERS, "search.yaml")).dimensions == OF_THE_CHAPTER


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "float", "low": "1e-6", "high": "1e-3", "log": True},
        {"type": "float", "low": "1e-6", "high": 1e-3, "log": "true"},
        {"space": "loguniform", "lower": 1e-6, "upper": 1e-3},
        {"distribution": "log_uniform_values", "min": 1e-6, "max": 1e-3},
        {"low": 1e-6, "high": 1e-3, "log": True},
        "1e-6..1e-3 log",
    ],
)
def test_other_notations_of_a_range(entry):
    assert read({"lr": entry}).dimensions == OF_THE_CHAPTER[:1]


@pytest.mark.parametrize(
    "entry",
    [
        [8, 16, 32],
        ["8", "16", "32"],
        "8|16|32",
        {"space": "choice", "categories": [8, 16, 32]},
        {"type": "categorical", "choices": [8, 16, 32]},
        {"space": "grid_search", "values": [8, 16, 32]},
        {"grid_search": [8, 16, 32]},
    ],
)
def test_other_notations_of_a_choice(entry):
    assert read({"micro_batch_size": entry}).dimensions == OF_THE_CHAPTER[2:]


def test_the_text_of_the_command_line():
    text = (
        "learning_rate=1e-6..1e-3 log, lora_r=8..64 step 8, batch_size=8|16|32, target_modules=q_proj,v_proj|all-linear"
    )
    rate, rank, batch, modules = read(text).dimensions
    assert (rate, batch) == (OF_THE_CHAPTER[0], OF_THE_CHAPTER[2])
    assert rank == Dimension("lora_r", "int", 8, 64, step=8)
    assert modules.name == "target_modules" and modules.values == (["q_proj", "v_proj"], ["all-linear"])
    assert read("num_train_epochs=1..3 num 5").dimensions == (Dimension("num_train_epochs", "float", 1, 3, num=5),)


def test_every_kind_of_setting_can_be_searched():
    space = read(
        {
            "method": ["lora", "full"],
            "loss": ["cross-entropy", "focal"],
            "loss_arguments": [{}, {"gamma": 1}],
            "model": ["one", "other"],
            "prompt_template": ["{a}", "{b}"],
            "trainer.weight_decay": {"space": "uniform", "lower": 0, "upper": 0.1},
            "adam_beta2": [0.99, 0.999],
            "max_grad_norm": "0.5..2",
            "max_length": [None, 512],
            "load_best_model_at_end": [True, False],
        }
    )
    found = {dimension.name: dimension for dimension in space.dimensions}
    assert found["model_name_or_path"].values == ("one", "other") and found["max_length"].values == (None, 512)
    assert found["weight_decay"].high == 0.1 and found["adam_beta2"].values == (0.99, 0.999)
    assert found["max_grad_norm"] == Dimension("max_grad_norm", "float", 0.5, 2)
    assert found["load_best_model_at_end"].values == (True, False)


def test_a_space_is_read_again_from_what_a_search_records():
    for space in (
        read(THE_TEXT := "lora_r=8..64 step 8, learning_rate=1e-5..1e-3 log num 3"),
        SearchSpace(OF_THE_CHAPTER),
    ):
        assert read(space.document()) == space, THE_TEXT


WRONG = {
    "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-5, "log": True},
    "weight_decay": {"type": "float", "low": 0, "high": 0.1, "log": True},
    "lora_rr": {"type": "int", "low": 8, "high": 64},
    "batch_size": [],
    "lora_dropout": {"type": "flaot", "low": 0, "high": 0.5},
    "warmup_ratio": {"type": "float", "lwo": 0, "high": 0.5},
    "output_dir": ["a", "b"],
}


def test_everything_wrong_is_said_at_once():
    assert refused(WRONG) == [
        "search.yaml: search_space.learning_rate: learning_rate has low 0.001 above high 1e-05\n"
        "    low: 1e-05, high: 0.001",
        "search.yaml: search_space.weight_decay: weight_decay has log with low 0; a logarithm needs numbers above 0\n"
        "    raise low",
        "search.yaml: search_space.lora_rr: unknown setting 'lora_rr'\n    did you mean lora_r?",
        "search.yaml: search_space.batch_size: batch_size is a choice of nothing\n"
        "    give values to choose from, such as [8, 16, 32]",
        "search.yaml: search_space.lora_dropout: lora_dropout has the unknown type 'flaot'\n    did you mean float?",
        "search.yaml: search_space.warmup_ratio: warmup_ratio has an unknown key 'lwo'\n    did you mean low?",
        "search.yaml: search_space.warmup_ratio: warmup_ratio has no low\n"
        "    {type: float, low: 1e-6, high: 1e-3, log: true}, or [8, 16, 32]",
        "search.yaml: search_space.output_dir: output_dir cannot be searched: it holds for the whole search\n"
        "    remove it from the search space",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"learning_rate": {"low": 1e-6, "high": 100}},
            "learning_rate must be a number above 0 and at most 10, not 100",
        ),
        ({"lora_r": {"low": 0, "high": 8}}, "lora_r must be a whole number above 0, not 0"),
        ({"lora_r": {"type": "float", "low": 1, "high": 8}}, "lora_r takes whole numbers, and its type is float"),
        ({"lora_r": {"low": 1, "high": 8, "step": 0.5}}, "lora_r takes whole numbers, not 0.5"),
        ({"lora_r": {"type": "int", "low": 1, "high": 8, "step": 0}}, "lora_r has step 0; a step must be above 0"),
        ({"lora_r": {"type": "int", "low": 1, "high": 8, "step": 9}}, "lora_r has step 9, which is more than"),
        ({"lora_r": {"type": "int", "low": 1.5, "high": 8}}, "lora_r has low 1.5; expected a whole number"),
        ({"lora_r": {"type": "int", "low": True, "high": 8}}, "lora_r has low True; expected a number"),
        ({"lora_r": {"type": "int", "low": "nan", "high": "inf"}}, "lora_r has high 'inf'; expected a number"),
        ({"lora_r": {"type": "int", "low": 1, "high": 8, "log": True, "step": 2}}, "lora_r has log and step"),
        ({"lora_r": [8, "many"]}, "lora_r must be a whole number above 0, not 'many'"),
        ({"lora_r": [8, True]}, "lora_r must be a whole number above 0; no value is given"),
        ({"lora_r": [8, float("nan")]}, "lora_r has nan among its values"),
        ({"lora_r": [8, "8"]}, "lora_r has '8' twice"),
        ({"lora_r": 16}, "lora_r is 16; expected how to search it"),
        ({"lora_r": {"low": 1, "lower": 2, "high": 3}}, "lora_r has lower and low, which are the same"),
        ({"lora_r": {"type": "loguniform", "low": 1, "high": 8, "log": False}}, "has log false although its type is"),
        ({"lora_r": {"type": "choice", "values": [1], "low": 2}}, "lora_r has low although it is a choice"),
        ({"batch_size": [8], "per_device_train_batch_size": [4]}, "and batch_size are the same setting"),
        ({"method": ["lora", "lroa"]}, "there is no method called 'lroa'"),
        ({"loss": ["focla"]}, "did you mean focal?"),
        ({"engine": ["exact", "exakt"]}, "did you mean exact?"),
        ({"task_name": [1]}, "cannot be searched"),
        ({"model": {"low": 1, "high": 2}}, "model does not take numbers"),
        ({"load_best_model_at_end": {"type": "int", "low": 0, "high": 1}}, "does not take numbers"),
        ({"optim": ["adamw_torch", "adamx"]}, "optim must be"),
        ({"push_to_hub": [True]}, "push_to_hub"),
        ({}, "there is nothing to search"),
        (None, "there is nothing to search"),
        (["lora_r"], "search_space must be a mapping, not ['lora_r']"),
        ("lora_r", "which is not of the form NAME=VALUES"),
        ("lora_r=8", "lora_r is '8', which is neither a range such as 8..64 nor a choice such as 8|16|32"),
        ("lora_r=8..64 stepp 4", "lora_r has 'stepp' behind the range; known are: log, step N, num N"),
        ("lora_r=8..64, lora_r=2|4", "lora_r and lora_r are the same setting"),
        ("{", "this is not JSON"),
    ],
)
def test_what_is_refused(given, said):
    assert any(said in problem for problem in refused(given)), refused(given)


def test_what_cannot_be_searched_has_a_reason():
    for name in FIXED:
        (said,) = refused({name: [1]})
        assert f"{name} cannot be searched: " in said


def test_code_that_a_file_names_is_not_run(tmp_path):
    from graft.registry import only_consented

    file = tmp_path / "own.py"
    file.write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\nLOSS = print\n", encoding="utf-8"
    )
    with only_consented([]):
        (said,) = refused({"loss": ["focal", f"{file}:LOSS"]})
    assert "is code that was not named on the command line" in said and not (tmp_path / "ran").exists()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
WORDS = st.sampled_from(
    ["type", "space", "low", "high", "lower", "upper", "log", "step", "num", "values", "categories"]
)
SAID = st.sampled_from(
    ["float", "int", "choice", "loguniform", "randint", "1e-5", "8", "8|16", "nan", 8, 64, 0.5, True]
)
ENTRIES = st.dictionaries(WORDS, SAID | VALUES, max_size=5) | VALUES | st.lists(SAID, max_size=4)
NAMES = st.sampled_from(
    ["learning_rate", "lora_r", "batch_size", "method", "task", "max_length", "engine", "loss_arguments"]
)
SPACES = st.dictionaries(NAMES | st.text(max_size=6), ENTRIES, max_size=4) | VALUES | st.text()


@settings(max_examples=300, deadline=None)
@given(SPACES)
def test_whatever_is_given_is_a_space_or_an_input_error(space):
    try:
        found = read(space, "search.yaml")
    except InputError:
        return
    assert found.dimensions and read(found.document()) == found
    for dimension in found.dimensions:
        value = dimension.sample(random.Random(1))
        assert value in dimension.values if dimension.kind == "choice" else dimension.low <= value <= dimension.high


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(NAMES, st.sampled_from(["1..8", "1e-5..1e-3 log", "8|16", "a|b", "..", "8..", "1..3 step"]))))
def test_whatever_is_typed_is_a_space_or_an_input_error(parts):
    text = ",".join(f"{name}={values}" for name, values in parts)
    try:
        found = read(text)
    except InputError:
        return
    assert len(found.dimensions) == len(parts)
