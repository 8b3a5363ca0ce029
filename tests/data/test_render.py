"""Examples as a model reads them: its chat template, its end token, its limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.data.chat_template import Renderer
from graft.data.example import AnswerExample, Origin
from graft.data.tokenize import encode, encode_all
from graft.errors import InputError, Problems
from graft.models.load import set_padding
from templates import template_tokenizer
from tiny_models import CHATML, tiny_model_tokenizer

HERE = Origin("rows.jsonl", 3)
STRICT = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}" + CHATML
TRIMMING = CHATML.replace("message['content'] +", "message['content'] | trim +")
THINKING = CHATML.replace("assistant\n' }}{% endif %}", "assistant\n<think>\n' }}{% endif %}")


@pytest.fixture(scope="module")
def chat():
    return tiny_model_tokenizer()


@pytest.fixture(scope="module")
def bare():
    return tiny_model_tokenizer(None)


def ends(tokenizer):
    return tokenizer.eos_token_id


def user(text, answer, **more):
    return AnswerExample(({"role": "user", "content": text},), answer, HERE, **more)


def test_a_chat_model_gets_its_template_and_ends_its_turn(chat):
    found = Renderer(chat).render(user("Hi", "Hello."))
    assert found.prompt == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert found.completion == "Hello.<|im_end|>"
    assert Renderer(chat).generation_prompt() == "<|im_start|>assistant\n"


def test_a_bare_model_gets_the_text_and_its_end_token(bare):
    assert Renderer(bare).render(user("Hi", "Hello.")).prompt == "Hi\n"
    assert Renderer(bare).render(user("Hi", "Hello.")).completion == "Hello.<|im_end|>"
    turns = ({"role": "system", "content": "S"}, *user("a", "").prompt, {"role": "assistant", "content": "b"})
    several = AnswerExample((*turns, {"role": "user", "content": "c"}), "d", HERE)
    assert Renderer(bare).render(several).prompt == "S\nUser: a\nAssistant: b\nUser: c\nAssistant:"
    assert Renderer(bare).generation_prompt() is None


def test_a_text_template_that_ends_itself_is_not_ended_twice(chat):
    renderer = Renderer(chat)
    for completion in ("x<|im_end|>", "x<|im_end|>\n", "x", "x<|im_end|><|im_end|>", "x<|im_end|>\n<|im_end|> \n"):
        assert renderer.render(AnswerExample("p", completion, HERE)).completion == "x<|im_end|>"


def test_where_padding_and_end_are_one_token_the_end_is_still_trained_on(bare):
    tokenizer = tiny_model_tokenizer(None)
    tokenizer.pad_token = tokenizer.eos_token
    set_padding(tokenizer)
    assert tokenizer.pad_token == "<|pad|>" != tokenizer.eos_token
    row = encode(user("Hi", "yes"), Renderer(tokenizer), 100)
    assert row.input_ids[-1] == tokenizer.eos_token_id and row.prompt_length < len(row.input_ids) - 1


def test_an_answer_is_trained_on_as_the_template_renders_it():
    assert Renderer(tiny_model_tokenizer(TRIMMING)).render(user("Hi", " yes")).completion == "yes<|im_end|>"


def test_a_prompt_asks_for_what_is_trained():
    """The generation prompt opens reasoning, and rendered answers have none: the model is not asked for it either."""
    found = Renderer(tiny_model_tokenizer(THINKING)).render(user("Hi", " yes"))
    assert found.completion == " yes<|im_end|>"
    assert found.prompt == found.asked == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_a_template_without_a_generation_prompt_is_asked_with_its_header():
    without = CHATML.partition("{% if add_generation_prompt %}")[0]
    found = Renderer(tiny_model_tokenizer(without)).render(user("Hi", "yes"))
    assert found.completion == "<|im_start|>assistant\nyes<|im_end|>"
    assert found.asked == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert found.answer == "yes<|im_end|>"


LOSSY = {
    "the system message": (
        CHATML.replace("%}{{", "%}{% if message.role != 'system' %}{{", 1).replace(
            "<|im_end|>\n' }}", "<|im_end|>\n' }}{% endif %}", 1
        ),
        {},
    ),
    "the reasoning of the answer": (CHATML, {"reasoning_content": "because"}),
    "the tool call": (CHATML, {"tool_calls": [{"type": "function", "function": {"name": "look", "arguments": {}}}]}),
    "the answer": (CHATML.replace("message['content'] +", "message['content'][:2] +"), {}),
}


@pytest.mark.parametrize("lost", LOSSY)
def test_what_a_template_would_lose_is_an_error_that_names_the_row(lost):
    template, more = LOSSY[lost]
    messages = ({"role": "system", "content": "S"}, {"role": "user", "content": "U"})
    answer = {"role": "assistant", "content": "yes, sir", **more}
    example = AnswerExample(messages, "yes, sir", HERE, answer=answer)
    with pytest.raises(InputError, match=rf"rows\.jsonl:3: the chat template does not render {lost}"):
        Renderer(tiny_model_tokenizer(template)).render(example)


def test_a_tool_that_the_template_does_not_show_is_an_error():
    tools = [{"type": "function", "function": {"name": "look"}}]
    with pytest.raises(InputError, match="does not render the tool: 'look'"):
        Renderer(tiny_model_tokenizer()).render(user("Hi", "yes", tools=tools))


def test_an_answer_with_an_end_token_of_its_own_ends_once(chat):
    for answer in ("yes<|im_end|>", "yes<|im_end|>\n<|im_end|>"):
        assert Renderer(chat).render(user("Hi", answer)).completion == "yes<|im_end|>"


def test_rows_that_are_all_refused_are_problems_and_nothing_else(chat):
    problems = Problems()
    tools = [{"type": "function", "function": {"name": "look"}}]
    assert list(encode_all([user("Hi", "yes", tools=tools)], Renderer(chat), 100, problems)) == []
    assert "does not render the tool" in problems.found[0].what


def test_answers_that_touch_in_the_templates_marks_are_trained_apart():
    messages = ({"role": "user", "content": "q"}, {"role": "assistant", "content": "first"})
    found = Renderer(template_tokenizer("smollm3")).render(AnswerExample(messages, "second", HERE))
    assert found.completion == "<|im_start|>assistant\nsecond<|im_end|>\n"


def test_texts_may_be_trimmed_or_written_as_json():
    template = CHATML.replace("message['content'] +", "(message['content'] | trim | tojson) +")
    found = Renderer(tiny_model_tokenizer(template)).render(user('  say "a"\n', "ä\tb"))
    assert found.completion == '"ä\\tb"<|im_end|>'


def test_a_row_gives_the_template_variables():
    template = CHATML.replace("assistant\n' }}", "assistant\n' + (mood or '') }}")
    found = Renderer(tiny_model_tokenizer(template)).render(user("Hi", "yes", template_kwargs={"mood": "!"}))
    assert found.prompt.endswith("assistant\n") and found.completion == "yes<|im_end|>"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("<think>\nIt is.\n</think>\n\nyes<|im_end|>", "yes"),
        ("It is.\n</think>\n\nyes", "yes"),
        ("yes", "yes"),
        ("<think>\nfor ever", "<think>\nfor ever"),
    ],
)
def test_a_generated_answer_is_read_without_its_reasoning(chat, written, text):
    ids = chat(written, add_special_tokens=False)["input_ids"]
    assert Renderer(chat).answer_text(ids) == text


def test_an_answer_in_a_channel_is_read_without_the_channels_before():
    renderer = Renderer(template_tokenizer("gpt-oss"))
    written = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>yes<|return|>"
    assert renderer.answer_text(renderer.tokenizer(written)["input_ids"]) == "yes"


def test_a_template_that_refuses_names_the_row():
    renderer = Renderer(tiny_model_tokenizer(STRICT))
    example = AnswerExample(({"role": "system", "content": "S"}, {"role": "user", "content": "x"}), "y", HERE)
    with pytest.raises(InputError, match=r"rows\.jsonl:3: .*refuses these messages: no system here"):
        renderer.render(example)


def test_the_loss_is_on_the_completion_or_on_all(chat):
    row = encode(user("Hi", "yes"), Renderer(chat), 100)
    assert chat.decode(row.input_ids[row.prompt_length :]) == "yes<|im_end|>"
    assert chat.decode(row.input_ids[: row.prompt_length]).endswith("assistant\n")
    assert encode(user("Hi", "yes"), Renderer(chat, "all"), 100).prompt_length == 0


def test_a_long_row_is_cut_on_the_right_and_counted(chat):
    whole = encode(user("Hi", "yes " * 50), Renderer(chat), 1000)
    cut = encode(user("Hi", "yes " * 50), Renderer(chat), 40)
    assert cut.input_ids == whole.input_ids[:40] and cut.cut == len(whole.input_ids) - 40 and whole.cut == 0


def test_rows_whose_answer_was_cut_are_marked(chat):
    """Which are all that have one, since rows are cut on the right; a plain text has none."""
    problems = Problems()
    given = [user("long " * 50, "yes"), user("Hi", "yes " * 50), user("Hi", "yes"), AnswerExample("", "a" * 99, HERE)]
    rows = list(encode_all(given, Renderer(chat), 40, problems))
    assert [row.answer_cut for row in rows] == [True, True, False, False] and not problems
    assert [row.has_answer for row in rows] == [False, True, True, True]
    assert [row.cut > 0 for row in rows] == [True, True, False, True]


def test_rows_without_tokens_to_train_on_are_named():
    tokenizer = tiny_model_tokenizer(None)
    tokenizer.eos_token = None
    problems = Problems()
    list(encode_all([AnswerExample("", "a", HERE)] * 30, Renderer(tokenizer), 40, problems))
    assert len(problems.found) == 21 and "10 more" in problems.found[-1].what
    assert str(problems.found[0]).startswith("rows.jsonl:3: the row has no tokens to train on")


def test_the_beginning_token_stands_once_where_the_model_wants_one():
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_model_tokenizer(None)
    start = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", start)]
    )
    for prompt, completion in (("p", "c"), ("<|im_start|>p", "c"), ("", "<|im_start|>c"), ("<|im_start|>" * 2, "c")):
        row = encode(AnswerExample(prompt, completion, HERE), Renderer(tokenizer), 99)
        assert row.input_ids[0] == start and row.input_ids.count(start) == 1 == row.input_ids.count(ends(tokenizer))
        assert row.prompt_length == len(prompt.replace("<|im_start|>", "")) + 1


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), st.booleans())
def test_what_is_trained_on_is_the_answer_whatever_its_letters(answer, is_chat):
    tokenizer = TOKENIZERS[is_chat]
    row = encode(user("Hi", answer), Renderer(tokenizer), 10_000)
    assert tokenizer.decode(row.input_ids[row.prompt_length :]) == answer + "<|im_end|>"


TOKENIZERS = {True: tiny_model_tokenizer(), False: tiny_model_tokenizer(None)}
