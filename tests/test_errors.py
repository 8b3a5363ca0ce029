import pytest

from graft.errors import InputError, Problem, Problems, nearest, need_extra
from graft.registry import Registry, load_attribute


def test_problems_are_said_together_with_place_and_remedy():
    problems = Problems()
    problems.raise_if_any()
    problems.add("a is wrong", "f.jsonl:3", "mend it")
    problems.add("b is wrong")
    with pytest.raises(InputError) as caught:
        problems.raise_if_any()
    assert caught.value.problems == (Problem("a is wrong", "f.jsonl:3", "mend it"), Problem("b is wrong"))
    assert str(caught.value) == "f.jsonl:3: a is wrong\n    mend it\nb is wrong"


def test_an_extra_is_named():
    assert "graft-slm[onnx]" in str(need_extra("onnx", "onnxruntime"))
    assert nearest("max_step", ["max_steps", "seed"]) == "max_steps"


def test_an_extension_from_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def f():\n    return 1\n", encoding="utf-8")
    assert load_attribute(f"{path}:f")() == 1
    with pytest.raises(InputError, match="no 'g'"):
        load_attribute(f"{path}:g")
    with pytest.raises(InputError, match="no such file"):
        load_attribute(f"{tmp_path / 'other.py'}:f")
    registry = Registry("metric", None, {"one": "graft.errors:nearest"})
    assert registry.get("one") is nearest
    with pytest.raises(InputError, match="did you mean one"):
        registry.get("onee")
