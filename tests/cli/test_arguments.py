import pytest

from graft.cli.arguments import parse
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


@pytest.mark.parametrize("flag", ["--yes", "--incomplete"])
def test_a_word_after_a_flag_is_no_value_of_it(flag):
    found = parse(["runs", "clean", flag, "old-runs"])
    assert found.words == ["runs", "clean", "old-runs"] and found.flag(flag[2:])
