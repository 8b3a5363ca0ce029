"""``--chat_template_kwargs``: variables of a chat template become defaults in its text."""

import pytest

from graft.errors import InputError
from graft.models.chat_templates import save_chat_template, with_defaults
from templates import template_tokenizer
from tiny_models import CHATML

ASKED = [{"role": "user", "content": "a"}]


def prompt(tokenizer, **more):
    return tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, tokenize=False, **more)


def test_the_value_is_a_default_that_a_caller_may_change():
    tokenizer = template_tokenizer("qwen3")
    before = {value: prompt(tokenizer, enable_thinking=value) for value in (True, False)}
    tokenizer.chat_template = with_defaults(tokenizer.chat_template, {"enable_thinking": False})
    assert prompt(tokenizer) == before[False] != before[True]
    assert prompt(tokenizer, enable_thinking=True) == before[True]


@pytest.mark.parametrize("value", ['it\'s "so"', None, 3, -1.5, True, [1, "a", None], {"b": [False]}])
def test_every_json_value_reaches_the_template(value):
    tokenizer = template_tokenizer("qwen3")
    tokenizer.chat_template = with_defaults("{{ mood | tojson }}", {"mood": value})
    other = template_tokenizer("qwen3")
    other.chat_template = "{{ mood | tojson }}"
    assert prompt(tokenizer) == prompt(other, mood=value)


@pytest.mark.parametrize("template", [CHATML, None])
def test_a_variable_without_use_is_an_error_with_the_nearest_name(template):
    with pytest.raises(InputError, match=r"has no chat template|has no variable enable_thinking"):
        with_defaults(template, {"enable_thinking": False})
    with pytest.raises(InputError, match="did you mean enable_thinking"):
        with_defaults(template_tokenizer("qwen3").chat_template, {"enable_thinkin": False})


def test_a_folder_keeps_the_template_of_the_tokenizer(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = template_tokenizer("qwen3")
    tokenizer.save_pretrained(tmp_path)
    tokenizer.chat_template = with_defaults(tokenizer.chat_template, {"enable_thinking": False})
    save_chat_template(tokenizer, tmp_path)
    assert prompt(AutoTokenizer.from_pretrained(tmp_path)) == prompt(tokenizer)
    tokenizer.chat_template = {"default": CHATML, "tool_use": "{{ tools }}"}
    save_chat_template(tokenizer, tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template == tokenizer.chat_template
