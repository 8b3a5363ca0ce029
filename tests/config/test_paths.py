from pathlib import Path

import pytest

from graft.config import ExportSettings, FinetuneSettings, build
from graft.errors import InputError


@pytest.mark.parametrize("cls", [FinetuneSettings, ExportSettings])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("~nosuchuser/x", "there is no such user"),
        ("a\0b", "NUL"),
        ("x" * 256, "at most 255 bytes"),
        ("ä" * 128, "at most 255 bytes"),
        ("x/" * 2100, "a path 4,096"),
        ("\ud800", "not a valid file name"),
        ("/proc/1/x", "no folder can be created"),
        ("/dev/null", "no folder can be created"),
        ("/sys/x", "no folder can be created"),
    ],
)
def test_a_path_that_can_be_no_folder_is_refused(cls, value, said):
    with pytest.raises(InputError, match=said) as caught:
        build(cls, {"output_dir": value}, "c.yaml")
    assert str(caught.value).startswith("c.yaml: output_dir ")


def test_home_is_put_for_a_tilde_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))

    def output(text):
        return build(FinetuneSettings, {"output_path": text}).output_path

    assert output("~/x") == tmp_path / "x"
    assert output("$HOME/x") == Path("$HOME/x")
    assert output("./~x") == Path.cwd() / "~x"
    assert output("/dev/shm/x") == Path("/dev/shm/x")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("learning_rate", float("nan"), "must be a number above 0 and at most 10, not nan"),
        ("learning_rate", "inf", "must be a number"),
        ("logging_steps", 1e400, "must be a number"),
        ("num_train_epochs", 1e308, "which is too large"),
        ("max_steps", 10**400, "which is too large"),
        ("max_steps", "1e3", "must be a whole number above 0, not '1e3'"),
        ("max_steps", "10k", "must be a whole number"),
        ("max_steps", "9" * 5000, "must be a whole number"),
        ("warmup_ratio", "x" * 10**6, "must be a number"),
        ("loss_arguments", "[" * 10**5, "must be a mapping"),
        ("loss_arguments", '{"a":' * 100 + "1" + "}" * 100, "nested too deeply"),
    ],
)
def test_numbers_that_nothing_can_be_computed_with_are_refused_shortly(name, value, said):
    with pytest.raises(InputError, match=said) as caught:
        build(FinetuneSettings, {name: value})
    assert len(str(caught.value)) < 300


def test_underscores_and_a_whole_number_with_a_point_are_numbers():
    assert build(FinetuneSettings, {"max_steps": "1_000"}).max_steps == 1000
    assert build(FinetuneSettings, {"max_steps": 1000.0}).max_steps == 1000
