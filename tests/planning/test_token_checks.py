"""What the data doctor finds in the tokens of rows: special ones as text, merged ones, and bytes."""

import pytest

from checked_rows import found, lines
from gguf_tokenizers import byte_level


def special(diagnosed, rows, **settings):
    diagnosis = diagnosed(rows, checks="special_tokens", **settings)
    return {finding.kind: (lines(finding), finding) for finding in diagnosis.findings}


def answered(prompt="p", completion="c", count=1):
    return [{"prompt": f"{prompt}{n}" if count > 1 else prompt, "completion": completion} for n in range(count)]


CLEAN = [
    *answered("What is 3 < 4 and 5 > 4?", "[True]"),
    *answered("<p>Some <s>old</s> HTML</p>", "<b>fine</b>"),
    *answered("a |> b <| c", "x[i] [INFO] [sic]"),
    *answered("q", "<think>so</think>a"),
]


@pytest.mark.parametrize("model", [None, "llama"])
def test_special_tokens_as_plain_text(diagnosed, model):
    rows = [
        *CLEAN,
        *answered("say <|im_end|>\n<|im_start|>system", "c"),
        *answered("p", "one <|im_end|> two"),
        {
            "prompt": [
                {"role": r, "content": c} for r, c in (("user", "a"), ("assistant", "b<|im_start|>"), ("user", "c"))
            ]
        }
        | {"completion": "d"},
    ]
    found = special(diagnosed, rows, model=model)
    assert set(found) == {"special_tokens"}
    where, finding = found["special_tokens"]
    assert where == [5, 6, 7] and finding.severity == "warning"
    assert finding.evidence[0].endswith("rows.jsonl:5: <|im_end|> in a message of the user")
    assert finding.figures["rows_by_token"] == {"<|im_start|>": 2, "<|im_end|>": 2}


def test_markers_of_other_models(diagnosed):
    rows = [
        *CLEAN,
        *answered("[INST] p [/INST]", "c"),
        *answered("p", "c</s>"),
        *answered("p", "<start_of_turn>model c"),
        *answered("<|eot_id|>", "c"),
    ]
    found = special(diagnosed, rows)
    assert {kind: where for kind, (where, _) in found.items()} == {"foreign_markers": [5, 6, 7, 8]}
    found = special(diagnosed, rows, model="sentencepiece")
    assert found["special_tokens"][0] == [2, 5] and found["foreign_markers"][0] == [7, 8]


def test_an_end_token_that_an_answer_has_already_is_harmless(diagnosed):
    assert special(diagnosed, answered("p", "c<|im_end|>")) == {}
    assert special(diagnosed, answered("p", "c</s> "), model="sentencepiece") == {}
    assert special(diagnosed, answered("p<|im_end|>", "c")) != {}


def test_rendered_texts_have_the_markers_of_their_model(diagnosed):
    text = "<|im_start|>user\np{}<|im_end|>\n<|im_start|>assistant\nc<|im_end|>"
    rows = [{"text": text.format(n)} for n in range(10)]
    assert special(diagnosed, rows) == {} and special(diagnosed, rows, model=None) == {}
    assert set(special(diagnosed, rows, model="sentencepiece")) == {"foreign_markers"}
    strays = [*({"text": f"plain text {n}"} for n in range(9)), *rows[:1]]
    assert special(diagnosed, strays)["special_tokens"][0] == [10]


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [("<think>p", "c"), ("p", "c <think>so</think>"), ("p", "<think>so"), ("p", "<think>a</think><think>b</think>c")],
)
def test_reasoning_in_the_wrong_place(diagnosed, prompt, completion):
    rows = [*CLEAN, *answered(prompt, completion)]
    assert special(diagnosed, rows, model=None)["special_tokens"][0] == [5]
    (_, finding) = special(diagnosed, rows)["foreign_markers"]
    assert lines(finding) == [5]


def test_tokens_of_a_head_as_plain_text(diagnosed):
    rows = [{"text": f"good [SEP] cake {n}" if n < 2 else f"good cake {n}", "label": "ab"[n % 2]} for n in range(20)]
    where, finding = special(diagnosed, rows, model="bert")["special_tokens"]
    assert where == [1, 2] and "in the text" in finding.evidence[0]


VICUNA = (
    "{% for m in messages %}{{ 'ASSISTANT: ' if m['role'] == 'assistant' else 'USER: ' }}{{ m['content'] + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)


def test_an_answer_that_would_be_one_token_with_the_end_of_the_prompt(diagnosed):
    rows = [{"question": f"{n} + 1?", "answer": "the tone"} for n in range(20)]
    (merged,) = found(diagnosed(rows, checks="boundary", chat_template=VICUNA), "merged_boundary")
    assert merged.severity == "warning" and len(merged.rows) == 20 and "move the blank" in merged.remedy
    assert merged.evidence[0].endswith("rows.jsonl:1: ' ' + 'the'")
    template = "{question} A: {answer}"  # graft moves the blank of a template itself
    assert not found(diagnosed(rows, checks="boundary", text_template=template), "merged_boundary")
    assert not found(diagnosed(rows, checks="boundary"), "merged_boundary")
    few = [*rows, {"question": "th", "answer": "e"}]
    (note,) = found(diagnosed(few, checks="boundary", text_template="{question}{answer}"), "merged_boundary")
    assert note.severity == "note" and lines(note) == [21]


@pytest.mark.parametrize("model", ["sentencepiece", "llama"])
def test_a_script_that_the_tokenizer_writes_in_bytes(diagnosed, model):
    rows = [*answered("the quick brown fox", "lazy dog \u2764", 30), *answered("ਇਹ ਕੀ ਹੈ", "ਇਹ ਇੱਕ ਸਵਾਲ ਹੈ")]
    (finding,) = found(diagnosed(rows, model, checks="byte_fallback"), "byte_fallback")
    assert lines(finding) == [31] and finding.severity == "warning"


def test_letters_that_the_tokenizer_does_not_know(diagnosed):
    rows = [{"text": f"good cake {n}", "label": "ab"[n % 2]} for n in range(20)]
    rows += [{"text": "ਇਹ ਕੀ ਹੈ", "label": "a"}]
    (finding,) = found(diagnosed(rows, "bert", checks="byte_fallback"), "unknown_tokens")
    assert lines(finding) == [21] and "[UNK]" in finding.title


def test_byte_level_tokenizers_mark_parts_of_letters():
    """What the check goes by: a token that is part of a letter does not decode to it."""
    tokenizer = byte_level()
    assert all("\ufffd" in tokenizer.decode([token]) for token in tokenizer("ਇ", add_special_tokens=False)["input_ids"])
    assert not any("\ufffd" in tokenizer.decode([token]) for token in tokenizer("tone of a tweet")["input_ids"])
