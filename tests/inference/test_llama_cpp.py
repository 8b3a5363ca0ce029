import json

import pytest
import torch

pytest.importorskip("xllamacpp")

from graft.engine import generate, score
from graft.errors import GraftError, InputError
from graft.export.gguf.writer import write_gguf
from graft.inference import llama_cpp
from graft.inference.llama_cpp import LlamaCpp, last_message
from graft.models.base import load_model, load_tokenizer, open_run_or_model
from tiny_models import tiny_model_folder

TEXTS = ["What is the tone?", "12 + 30 = 42\n\nStraße", "I love it, 東京 привет"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A model in PyTorch with its tokenizer, and its file."""
    folder = tmp_path_factory.mktemp("gguf")
    base = open_run_or_model(tiny_model_folder(folder, "llama", width=64)).base
    model, tokenizer = load_model(base), load_tokenizer(base)
    write_gguf(model, tokenizer, folder / "m.gguf", "float32", {}, name="m", license=None)
    return model.eval(), tokenizer, folder / "m.gguf"


@pytest.fixture(scope="module")
def runtime(pair):
    with LlamaCpp(pair[2], threads=1) as found:
        yield found


def test_it_describes_the_file(pair, runtime):
    model, tokenizer, _ = pair
    found = runtime.model()
    assert (found.vocabulary, found.positions) == (len(tokenizer), model.config.max_position_embeddings)
    assert found.chat_template == tokenizer.chat_template


def test_tokens_and_template_are_the_tokenizers(pair, runtime):
    _, tokenizer, _ = pair
    assert runtime.tokenize(TEXTS) == tokenizer(TEXTS, add_special_tokens=False)["input_ids"]
    assert runtime.detokenize(runtime.tokenize(TEXTS)) == TEXTS
    marked = ["<|im_start|>user"]
    assert runtime.tokenize(marked)[0][0] == tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert len(runtime.tokenize(marked, special=False)[0]) > 4
    talk = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi\n"}]
    assert runtime.apply_template([talk]) == [
        tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    ]


def test_logits_and_greedy_answers_are_pytorchs(pair, runtime):
    model, tokenizer, _ = pair
    prompts = tokenizer(TEXTS, add_special_tokens=False)["input_ids"]
    own = runtime.first_logprobs(prompts)
    with torch.no_grad():
        wanted = [model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1) for ids in prompts]
    assert max(float((torch.tensor(a) - b).abs().max()) for a, b in zip(own, wanted, strict=True)) < 1e-4
    ends = {tokenizer.eos_token_id}
    answers = runtime.generate(prompts, 24, ends)
    assert answers == [list(row) for row in generate(model, prompts, 24, ends, tokenizer.pad_token_id)]
    more = {*ends, answers[0][2]}
    assert runtime.generate(prompts[:1], 24, more) == [answers[0][: answers[0].index(answers[0][2])]]


def test_scores_are_pytorchs_part_characters_and_end_tokens_among_them(pair, runtime):
    model, tokenizer, _ = pair
    prompts = tokenizer(TEXTS, add_special_tokens=False)["input_ids"]
    greedy = [list(row) for row in generate(model, prompts, 3, set(), tokenizer.pad_token_id)]
    texts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("京 è nice", "no<|im_end|>")]
    completions = [[*texts, row] for row in greedy]
    own = runtime.score(prompts, completions)
    for mine, theirs in zip(own, score(model, prompts, completions), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-3)
            assert (a.tokens, a.is_greedy) == (b.tokens, b.is_greedy)
    assert runtime.score(prompts[1:], completions[1:]) == own[1:]  # the same in any order


def test_a_longer_prompt_gets_a_longer_context(pair):
    _, tokenizer, file = pair
    long = tokenizer("word " * 300, add_special_tokens=False)["input_ids"]
    assert 256 < len(long) < 500
    with LlamaCpp(file, threads=1) as short:
        assert len(short.generate([long[:40]], 2, ())[0]) == 2
        assert len(short.generate([long], 2, ())[0]) == 2


def test_a_damaged_file_is_an_error_with_llama_cpps_message(pair, tmp_path):
    whole = pair[2].read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[:2000])
    with LlamaCpp(cut) as runtime, pytest.raises(InputError, match=r"error loading model: .*failed to load") as error:
        runtime.model()
    assert str(cut) in str(error.value)


def test_a_process_that_hangs_is_ended(pair):
    with LlamaCpp(pair[2], patience=0.0) as runtime, pytest.raises(InputError, match="no answer in 0 seconds"):
        runtime.model()


def test_what_llama_cpp_refuses_is_its_message_and_the_next_question_is_answered(pair, runtime):
    with pytest.raises(GraftError, match="invalid tokens"):
        runtime.generate([[10**6]], 1, ())
    assert runtime.tokenize(["a"])


def test_the_cause_is_found_in_the_log():
    log = "0.00.004.214 E llama_model_load: error loading model: missing tensor 'x'\n0.1 E srv init: exiting due to\n"
    assert last_message(log) == "llama_model_load: error loading model: missing tensor 'x'"
    assert last_message("I hello\n/x.cpp:5: GGML_ASSERT(a) failed\nno backtrace\n").endswith("GGML_ASSERT(a) failed")
    assert last_message("") == ""


def test_without_the_package_the_extra_is_named(pair, monkeypatch):
    monkeypatch.setattr(llama_cpp.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="xllamacpp") as error:
        LlamaCpp(pair[2])
    assert "graft-slm[gguf]" in json.dumps(str(error.value))
