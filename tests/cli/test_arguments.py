import pytest

from graft.cli.arguments import parse, read_config
from graft.errors import InputError


def test_spellings_of_an_option_are_one():
    for words in (["--max_steps", "5"], ["--max-steps=5"], ["--max_steps=5"]):
        assert parse(words).options == {"max_steps": "5"}


def test_words_flags_lists_and_negative_numbers():
    found = parse(
        ["model", "data.jsonl", "-o", "out", "--dry_run", "--target_modules", "a", "b", "--x", "-1e-3", "--no_evaluate"]
    )
    assert found.words == ["model", "data.jsonl"]
    assert found.options == {
        "output_path": "out",
        "dry_run": True,
        "target_modules": ["a", "b"],
        "x": "-1e-3",
        "evaluate": "false",
    }


def test_an_option_given_twice_is_said():
    with pytest.raises(InputError, match="given twice"):
        parse(["--seed", "1", "--seed", "2"])


def test_template_with_other_letters_survives():
    assert (
        parse(["--text_template", "プロンプト {a}\\n答え {b}"]).options["text_template"] == "プロンプト {a}\\n答え {b}"
    )


def test_yaml_numbers_people_write(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("learning_rate: 1e-4\nlow: 1e-6\nname: e5\nversion: '1e-4'\n", encoding="utf-8")
    assert read_config(path) == {"learning_rate": 1e-4, "low": 1e-6, "name": "e5", "version": "1e-4"}


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n"])
def test_yaml_that_is_no_mapping(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        read_config(path)
