"""Predictors keep what their protocol promises."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM, AutoTokenizer, OPTConfig, OPTForCausalLM

from graft.data.chat_template import Renderer
from graft.data.example import AnswerExample, Origin
from graft.engine import generate
from graft.errors import InputError
from graft.inference.cached import CachedPredictor
from graft.inference.predictor import CompletionScore
from graft.inference.torch import TorchPredictor, evaluation_mode
from tiny_models import tiny_model_folder, tiny_model_tokenizer


def examples(count):
    return [
        AnswerExample(({"role": "user", "content": f"Say {'so ' * n}{n}"},), f"word {n}", Origin("rows.jsonl", n + 1))
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """A tiny model with an adapter that changes what it answers, and its tokenizer."""
    folder = tiny_model_folder(tmp_path_factory.mktemp("models"), "llama")
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    return folder, model, AutoTokenizer.from_pretrained(folder)


def test_without_its_adapter_a_model_answers_and_scores_as_its_base(adapted):
    folder, model, tokenizer = adapted
    rows, renderer = examples(5), Renderer(tokenizer)
    base = TorchPredictor("base", AutoModelForCausalLM.from_pretrained(folder), tokenizer, renderer)
    off = TorchPredictor("base", model, tokenizer, renderer, model.disable_adapter)
    on = TorchPredictor("tuned", model, tokenizer, renderer)
    assert off.generate(rows, 8) == base.generate(rows, 8)
    completions = [["word", "another word"]] * 5
    flat = [score.log_likelihood for row in base.score(rows, completions) for score in row]
    assert [s.log_likelihood for row in off.score(rows, completions) for s in row] == pytest.approx(flat, abs=1e-4)
    assert [s.log_likelihood for row in on.score(rows, completions) for s in row] != pytest.approx(flat, abs=1e-2)


def test_results_have_the_order_of_the_examples_and_do_not_depend_on_their_batch(adapted):
    _, model, tokenizer = adapted
    predictor, rows = TorchPredictor("tuned", model, tokenizer, Renderer(tokenizer)), examples(6)
    together = predictor.generate(rows, 8)
    assert together == [predictor.generate([row], 8)[0] for row in rows]
    assert predictor.generate(rows[::-1], 8) == together[::-1]


@pytest.mark.parametrize("family", ["gpt2", "opt"])
def test_answers_end_where_the_positions_of_the_model_do(tmp_path, family):
    """A table of 512 positions: an answer after a long prompt is as long as there is room, and the others are whole."""
    if family == "opt":
        tokenizer = tiny_model_tokenizer()
        config = OPTConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            ffn_dim=64,
            word_embed_proj_dim=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=512,
        )
        model = OPTForCausalLM(config)
    else:
        folder = tiny_model_folder(tmp_path, family)
        model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    prompts = [[5] * length for length in (3, 500, 512, 4)]
    found = generate(model, prompts, 40, [], tokenizer.pad_token_id)
    assert [len(answer) for answer in found] == [40, 12, 0, 40]
    predictor = TorchPredictor("tuned", model, tokenizer, Renderer(tokenizer))
    long = [*examples(2), AnswerExample("a" * 600, "word", Origin("rows.jsonl", 9))]
    for ask in (lambda: predictor.generate(long, 4), lambda: predictor.score(long, [["word"]] * 3)):
        with pytest.raises(InputError, match=r"rows.jsonl:9: 1 of 3 rows are longer than the 512 tokens"):
            ask()
    assert len(predictor.score(long[:2], [["word"]] * 2)) == 2


def test_a_greedy_completion_is_what_generation_writes(adapted):
    _, model, tokenizer = adapted
    predictor, rows = TorchPredictor("tuned", model, tokenizer, Renderer(tokenizer)), examples(3)
    answers = predictor.generate(rows, 40)
    scores = predictor.score(rows, [[answer, "zzz"] for answer in answers])
    for answer, (own, other) in zip(answers, scores, strict=True):
        assert own.log_likelihood < 0 and not other.is_greedy
        assert own.tokens > len(tokenizer(answer, add_special_tokens=False).input_ids)  # the end token counts


def test_progress_ends_at_the_number_of_rows(adapted):
    _, model, tokenizer = adapted
    predictor, rows, seen = TorchPredictor("tuned", model, tokenizer, Renderer(tokenizer)), examples(4), []
    predictor.generate(rows, 2, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (4, 4)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_a_model_is_restored_even_after_an_error(adapted, training):
    _, model, _ = adapted
    model.train(training)

    def fail():
        with evaluation_mode(model, model.disable_adapter) as found:
            assert not found.training and all(layer.disable_adapters for layer in layers)
            raise RuntimeError("stop")

    layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert model.training == training
    assert layers and not any(layer.disable_adapters for layer in layers)
    model.eval()


class Counting:
    """A predictor that counts how often it is asked."""

    name, tokenizer = "counting", None

    def __init__(self):
        self.asked = 0

    def generate(self, examples, max_new_tokens, progress=None):
        self.asked += 1
        return [f"{example.reference} {max_new_tokens}" for example in examples]

    def score(self, examples, completions, progress=None):
        self.asked += 1
        return [[CompletionScore(-float(len(text)), 1) for text in texts] for texts in completions]


def test_a_cached_predictor_asks_once_for_the_same_examples_and_again_for_others():
    counting, rows = Counting(), examples(3)
    cached = CachedPredictor(counting)
    assert cached.generate(rows, 4) == cached.generate(list(rows), 4) == ["word 0 4", "word 1 4", "word 2 4"]
    assert counting.asked == 1
    assert cached.generate(rows, 5) == ["word 0 5", "word 1 5", "word 2 5"]
    assert cached.generate(rows[:1], 5) == ["word 0 5"]
    assert cached.score(rows, [["a"], ["bb"], []]) == cached.score(rows, [["a"], ["bb"], []])
    assert counting.asked == 4


def test_a_released_model_still_answers_what_it_was_asked():
    cached, rows = CachedPredictor(Counting()), examples(2)
    answers = cached.generate(rows, 4)
    cached.release_model()
    assert cached.generate(rows, 4) == answers
    with pytest.raises(RuntimeError, match="released its model"):
        cached.generate(rows, 5)


def test_examples_that_are_gone_do_not_lend_their_answers_to_new_ones():
    cached = CachedPredictor(Counting())
    for length in range(50):  # unless the cache keeps them, new examples get the same addresses
        row = AnswerExample("p", "x" * length, Origin("r", 1))
        assert cached.generate([row], 1) == [f"{'x' * length} 1"]
