"""Answers in texts that are rendered already, found by the marker before them."""

import json

import pytest

from graft.cli.main import main
from graft.config import DataSettings
from graft.data.columns.rendered import RenderedText
from graft.data.pipeline import read_examples
from graft.errors import InputError
from tiny_models import tiny_model_folder

LLAMA_2 = "<s>[INST] {q} [/INST] {a} </s>"
ALPACA = "### Instruction:\n{q}\n\n### Response:\n{a}"
CHATML = "<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n{a}<|im_end|>\n"
LLAMA_3 = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{q}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{a}<|eot_id|>"
)
GEMMA = "<bos><start_of_turn>user\n{q}<end_of_turn>\n<start_of_turn>model\n{a}<end_of_turn>\n"
DEEPSEEK = "<｜begin▁of▁sentence｜><｜User｜>{q}<｜Assistant｜>{a}<｜end▁of▁sentence｜>"


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("models"))


@pytest.fixture
def read(tmp_path):
    """Return the examples of texts, and what was inferred."""

    def make(texts, column="text", **settings):
        file = tmp_path / "rows.jsonl"
        rows = texts if isinstance(texts[0], dict) else [{column: text} for text in texts]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        found = read_examples(DataSettings(data_files=(str(file),), **settings))
        return found.examples, {said.name: (said.value, said.why) for said in found.mapping.inferred}

    return make


def filled(template, count=4):
    return [template.replace("{q}", f"question {n}?").replace("{a}", f"Answer {n}.") for n in range(count)]


@pytest.mark.parametrize(
    ("template", "marker", "prompt_end", "completion"),
    [
        (LLAMA_2, "[/INST]", "[/INST]", " Answer 1. </s>"),
        (LLAMA_2, " [/INST] ", "[/INST]", " Answer 1. </s>"),
        (ALPACA, "### Response:", "### Response:", "\nAnswer 1."),
        (ALPACA, "### Response:\n", "### Response:\n", "Answer 1."),
        (ALPACA, "\n\n### Response:\n\n", "### Response:\n", "Answer 1."),
        (CHATML, "<|im_start|>assistant\n", "<|im_start|>assistant\n", "Answer 1.<|im_end|>"),
        (LLAMA_3, "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|end_header_id|>\n\n", "Answer 1.<|eot_id|>"),
        (GEMMA, "<start_of_turn>model\n", "<start_of_turn>model\n", "Answer 1.<end_of_turn>"),
        (DEEPSEEK, "<｜Assistant｜>", "<｜Assistant｜>", "Answer 1.<｜end▁of▁sentence｜>"),
        ("Q: {q} ==> {a}", "==>", "==>", " Answer 1."),
    ],
)
def test_the_text_up_to_and_with_the_marker_is_the_prompt(read, template, marker, prompt_end, completion):
    texts = filled(template)
    examples, said = read(texts, response_template=marker)
    assert len(examples) == 4 and "instruction_template" not in said
    assert examples[1].prompt.endswith(prompt_end) and examples[1].completion == completion
    assert texts[1].startswith(examples[1].prompt + examples[1].completion)
    assert examples[1].reference.strip() == "Answer 1."
    assert said["columns"][0] == "rendered text"


@pytest.mark.parametrize(
    ("template", "marker", "answers"),
    [
        (LLAMA_2, "[/INST]", [" Answer 0. </s>", " Answer 1. </s>"]),
        (LLAMA_2.removesuffix(" </s>"), "[/INST]", [" Answer 0.", " Answer 1."]),
        (ALPACA + "\n\n", "### Response:\n", ["Answer 0.", "Answer 1.\n\n"]),
        (CHATML, "<|im_start|>assistant\n", ["Answer 0.<|im_end|>", "Answer 1.<|im_end|>"]),
        (GEMMA, "<start_of_turn>model\n", ["Answer 0.<end_of_turn>", "Answer 1.<end_of_turn>"]),
    ],
)
def test_each_answer_of_a_known_format_is_trained_with_all_before_it_as_its_prompt(read, template, marker, answers):
    texts = ["".join(filled(template, 2)), filled(template)[3]]
    examples, said = read(texts, response_template=marker)
    assert [example.completion for example in examples[:2]] == answers
    assert answers[0] in examples[1].prompt and examples[1].prompt.endswith(marker)
    assert len(examples) == 3
    assert said["instruction_template"][1].startswith("1 texts have several answers")


def test_an_own_format_needs_the_marker_of_its_prompts_for_all_its_answers(read):
    texts = ["<q> a <r> b <q> c <r> d", "<q> e <r> f"]
    examples, said = read(texts, response_template="<r>")
    assert [example.completion for example in examples] == [" d", " f"]
    assert said["trained_answer"][0] == "the last of each text"
    assert "--instruction_template" in said["trained_answer"][1]
    examples, said = read(texts, response_template="<r>", instruction_template="<q>")
    assert [(e.prompt, e.completion) for e in examples] == [
        ("<q> a <r>", " b"),
        ("<q> a <r> b <q> c <r>", " d"),
        ("<q> e <r>", " f"),
    ]
    assert "trained_answer" not in said


def test_a_tools_turn_after_a_call_is_read_and_not_trained():
    text = (
        "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\ncall()<|im_end|>\n"
        "<|im_start|>tool\n12<|im_end|>\n<|im_start|>assistant\nTwelve.<|im_end|>\n"
    )
    found = RenderedText("<|im_start|>assistant\n", "<|im_start|>user").answers(text)
    assert [text[start:stop] for start, stop in found] == ["call()<|im_end|>", "Twelve.<|im_end|>"]


def test_html_in_an_answer_does_not_end_it():
    text = "[INST] Strike it. [/INST] <s>old</s> new </s>"
    ((start, stop),) = RenderedText("[/INST]").answers(text)
    assert text[start:stop] == " <s>old</s> new </s>"


def test_windows_line_ends_are_found_by_a_marker_with_a_line_end(read):
    texts = [text.replace("\n", "\r\n") for text in filled(ALPACA)]
    examples, _ = read(texts, response_template="### Response:\n")
    assert (examples[0].prompt, examples[0].completion) == (
        "### Instruction:\nquestion 0?\n\n### Response:\n",
        "Answer 0.",
    )


def test_another_column_is_named_by_a_template_and_a_template_of_columns_is_filled_first(read):
    examples, _ = read(filled(LLAMA_2), column="content", text_template="{content}", response_template="[/INST]")
    assert examples[2].completion == " Answer 2. </s>"
    rows = [{"q": f"question {n}", "a": f"answer {n}"} for n in range(4)]
    examples, _ = read(rows, text_template="### Question: {q}\n ### Answer: {a}", response_template=" ### Answer:")
    assert examples[1].prompt == "### Question: question 1\n ### Answer:"
    assert examples[1].completion == " answer 1"


def test_a_row_without_the_marker_or_without_an_answer_is_named(read):
    with pytest.raises(InputError) as caught:
        read([*filled(LLAMA_2), "[INST] cut short", "[INST] empty [/INST] </s>"], response_template="[/INST]")
    first, second = caught.value.problems[:2]
    assert first.where.endswith("rows.jsonl:5") and "'[/INST]'" in first.what
    assert second.where.endswith("rows.jsonl:6") and second.what == "the answer is empty"


@pytest.mark.parametrize(
    ("rows", "settings", "words"),
    [
        (filled(LLAMA_2), {"response_template": "### Response:"}, ("no row contains", "the rows contain '[/INST]'")),
        (["a => b"], {"response_template": "->"}, ("no row contains", "the first row is 'a => b'")),
        ([{"prompt": "a", "completion": "b"}], {"response_template": "[/INST]"}, ("no column `text`", "omit")),
        (filled(LLAMA_2), {"instruction_template": "[INST]"}, ("needs --response_template", "[/INST]")),
        (
            [{"x": "a"}],
            {"text_template": "{y}", "response_template": "[/INST]"},
            ("{y} is not a column", "the columns are: x"),
        ),
    ],
)
def test_a_marker_that_finds_nothing_is_refused_with_what_to_do(read, rows, settings, words):
    with pytest.raises(InputError) as caught:
        read(rows, **settings)
    said = str(caught.value)
    assert all(word in said for word in words)


@pytest.mark.parametrize("template", [LLAMA_2, ALPACA, CHATML, LLAMA_3, GEMMA, DEEPSEEK])
def test_rendered_texts_without_the_option_are_trained_whole_and_it_is_said(read, template):
    examples, said = read(filled(template))
    assert all(example.prompt == "" for example in examples)
    value, why = said["trained_text"]
    assert value == "all of it" and "--response_template" in why
    assert "trained_text" not in read(filled(template), loss_on="all")[1]
    assert "trained_text" not in read(["plain words", "more of them", "and [/INST] once"])[1]


def test_the_command_line_trains_on_the_answers_alone(tmp_path, tiny_llama, capsys):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in filled(LLAMA_2, 12)), encoding="utf-8")
    words = ("finetune", tiny_llama, file, "-o", tmp_path / "run", "--response_template", "[/INST]", "--dry_run")
    assert main([*map(str, words), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    row = plan["first_rows"][0]
    assert row["prompt"].endswith("[/INST]") and row["trained"].startswith(" Answer")
    for more, what in (
        (("--system_prompt", "Be brief."), "--system_prompt Be brief. is not used with --response_template"),
        (("--loss_on", "all"), "--loss_on all"),
        (("--task", "text-classification"), "--response_template [/INST] is not used by --task text-classification"),
    ):
        assert main([*map(str, words), *more]) == 2
        assert what in capsys.readouterr().err
