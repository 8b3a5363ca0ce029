"""A served model as the harness's language model: a server that runs a tiny model, beside that model itself."""

import pytest
import torch

from answering_server import Handler, answering
from graft.data.chat_template import Renderer
from graft.errors import InputError
from graft.evaluation.benchmark.harness import require_harness
from graft.evaluation.benchmark.judge import Criteria, judge
from graft.evaluation.benchmark.tasks import LoadedTasks, find_tasks
from graft.inference.endpoint import Endpoint
from graft.inference.server_url import ServerUrl
from graft.inference.torch import TorchPredictor
from graft.progress import Silent

require_harness()


@pytest.fixture(scope="module")
def model(tiny_llama):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(tiny_llama).eval(), AutoTokenizer.from_pretrained(tiny_llama)


@pytest.fixture
def server(model):
    network, tokenizer = model

    class Echo(Handler):
        """``/v1/completions`` with echo and logprobs, as vLLM answers."""

        def answer(self):
            if not self.body.get("echo"):
                return super().answer()
            text = self.body["prompt"]
            encoded = tokenizer(text, return_offsets_mapping=True)
            ids = torch.tensor([encoded["input_ids"]])
            with torch.no_grad():
                scores = network(ids).logits[0].log_softmax(-1)
            own = [scores[place - 1, ids[0, place]].item() for place in range(1, ids.shape[1])]
            tops = [{"t": scores[place - 1].max().item()} for place in range(1, ids.shape[1])]
            offsets = [start for start, _ in encoded["offset_mapping"]]
            values = {"token_logprobs": [None, *own, -1.0], "top_logprobs": [None, *tops, {"t": -1.0}]}
            logprobs = {**values, "text_offset": [*offsets, len(text)]}
            return {"choices": [{"index": 0, "text": f"{text}!", "logprobs": logprobs, "finish_reason": "length"}]}

    with answering(lambda text: "good\nand more") as found:
        found.RequestHandlerClass = Echo
        yield found


def lm(server, **settings):
    from graft.evaluation.benchmark.endpoint_model import EndpointLM

    return EndpointLM("small-model", Endpoint(ServerUrl.parse(server.url), **settings), Silent(), "served")


def judged(language_model, folder, name, **criteria):
    named, manager = find_tasks([str(folder / f"{name}.yaml")], trusted=False)
    loaded = LoadedTasks(named, manager, Silent())
    try:
        return judge(language_model, loaded.loaded, Criteria(**criteria)).samples[name]
    finally:
        loaded.close()


def test_a_server_that_repeats_texts_scores_as_its_model(server, model, tasks):
    from graft.evaluation.benchmark.language_model import PredictorLM

    network, tokenizer = model
    own = PredictorLM(TorchPredictor("own", network, tokenizer, Renderer(tokenizer)), Silent())
    expected = judged(own, tasks, "moods", num_fewshot=2, limit=5)
    found = judged(lm(server), tasks, "moods", num_fewshot=2, limit=5)
    for here, there in zip(expected, found, strict=True):
        for ((value, greedy),), ((other, same),) in zip(here["resps"], there["resps"], strict=True):
            assert other == pytest.approx(value, abs=1e-4) and greedy == same


def test_answers_are_asked_for_with_their_stop_sequences(server, tasks):
    found = judged(lm(server), tasks, "names", limit=3)
    assert [sample["resps"] for sample in found] == [[["g"]]] * 3  # "o" ends it
    body = server.bodies()[0]
    assert body["stop"] == ["o", "\n"] and body["max_tokens"] == 12 and body["prompt"].endswith("Mood:")


def test_with_the_chat_template_messages_are_sent(server, tasks):
    judged(lm(server), tasks, "names", limit=1, apply_chat_template=True, system_instruction="Be brief.")
    messages = server.bodies()[0]["messages"]
    assert [message["role"] for message in messages] == ["system", "user"] and messages[0]["content"] == "Be brief."


def test_a_server_without_likelihoods_is_refused_with_what_it_takes(server, tasks):
    server.RequestHandlerClass = Handler
    with pytest.raises(InputError, match="no likelihoods of given texts") as caught:
        judged(lm(server), tasks, "moods", limit=2)
    assert "echo and logprobs" in caught.value.problems[0].remedy
    with pytest.raises(InputError, match="messages cannot be scored"):
        judged(lm(server), tasks, "moods", limit=2, apply_chat_template=True)
    with pytest.raises(InputError, match="likelihood of whole texts"):
        judged(lm(server), tasks, "plain", limit=2)
