"""graft's predictors as the harness's language model, beside the harness's own."""

import pytest
import torch

from graft.data.chat_template import Renderer
from graft.errors import InputError
from graft.evaluation.benchmark.harness import require_harness
from graft.evaluation.benchmark.judge import Criteria, judge
from graft.evaluation.benchmark.stop import Stop
from graft.evaluation.benchmark.tasks import LoadedTasks, find_tasks
from graft.inference.torch import TorchPredictor
from graft.progress import Silent

require_harness()


@pytest.fixture(scope="module")
def model(tiny_llama):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    with torch.no_grad():
        for weights in network.model.layers.parameters():
            weights.mul_(8)  # so that it does not repeat one token for ever
    return network, AutoTokenizer.from_pretrained(tiny_llama)


def both(model, max_length=None):
    from lm_eval.models.huggingface import HFLM

    from graft.evaluation.benchmark.language_model import PredictorLM

    network, tokenizer = model
    predictor = TorchPredictor("base", network, tokenizer, Renderer(tokenizer))
    own = PredictorLM(predictor, Silent(), max_length)
    theirs = HFLM(pretrained=network, tokenizer=tokenizer, batch_size=4, device="cpu", max_length=max_length)
    return own, theirs


def judged(lm, folder, names, **criteria):
    named, manager = find_tasks([str(folder / f"{name}.yaml") for name in names], trusted=False)
    loaded = LoadedTasks(named, manager, Silent())
    try:
        with torch.no_grad():
            return judge(lm, loaded.loaded, Criteria(**criteria))
    finally:
        loaded.close()


@pytest.mark.parametrize(
    "criteria",
    [{}, {"num_fewshot": 3}, {"num_fewshot": 2, "apply_chat_template": True, "fewshot_as_multiturn": True}],
    ids=["plain", "few-shot", "chat"],
)
@pytest.mark.parametrize("max_length", [None, 48])
def test_log_likelihoods_are_those_of_the_harness(model, tasks, criteria, max_length):
    own, theirs = (judged(lm, tasks, ["moods", "plain"], **criteria) for lm in both(model, max_length))
    for name in ("moods", "plain"):
        assert len(own.samples[name]) == 18
        for mine, harness in zip(own.samples[name], theirs.samples[name], strict=True):
            assert mine["arguments"] == harness["arguments"]
            for (a,), (b,) in zip(mine["resps"], harness["resps"], strict=True):
                (value, greedy), (other, same) = (x if isinstance(x, tuple) else (x, True) for x in (a, b))
                assert value == pytest.approx(other, abs=1e-5 * max(1, abs(other) / 100)) and greedy == same
    assert own.results["moods"]["acc,none"] == theirs.results["moods"]["acc,none"]


def test_answers_end_at_their_stop_sequences_as_those_of_the_harness(model, tasks):
    own, theirs = (judged(lm, tasks, ["names"]) for lm in both(model))
    mine, harness = ([sample["resps"] for sample in each.samples["names"]] for each in (own, theirs))
    assert mine == harness and len({str(each) for each in mine}) > 1
    assert not any("o" in answer for ((answer,),) in mine)


def test_generation_ends_as_soon_as_a_stop_sequence_is_there(model):
    own, _ = both(model)
    prompts = [own.tok_encode("the quick brown"), own.tok_encode("What is the tone of this")]
    whole = own.predictor.generate_ids(prompts, 40)
    until = own._text(whole[0])[3:6]
    cut = own.predictor.generate_ids(prompts, 40, Stop([until], own._text))
    assert len(cut[0]) < len(whole[0]) and until in own._text(cut[0]) and until not in own._text(cut[0][:-1])
    assert whole[1][: len(cut[1])] == cut[1]


def test_prompts_that_begin_alike_are_scored_alike_in_any_batches(model):
    own, _ = both(model)
    shots = [own.tok_encode(text * 20) for text in ("the quick brown fox ", "I love it, ", "12 + 30 = 42 ")]
    ends = [own.tok_encode(text) for text in ("it is fine", "I hate it", "the answer is one word")]
    prompts = [shot + end for end in ends for shot in shots]
    answers = [[own.tok_encode(" negative"), own.tok_encode(" x")] for _ in prompts]
    together = own.predictor.score_ids(prompts, answers)
    for prompt, answer, found in zip(prompts, answers, together, strict=True):
        (alone,) = own.predictor.score_ids([prompt], [answer])
        assert [one.log_likelihood for one in found] == pytest.approx([one.log_likelihood for one in alone], abs=1e-5)


def test_sampled_answers_are_refused(model, tasks):
    own, _ = both(model)
    with pytest.raises(InputError, match="samples its answers"):
        judged(own, tasks, ["names"], gen_kwargs={"do_sample": True, "temperature": 0.7})
