"""A server as a predictor: what is sent, what comes back, and what fails."""

import asyncio
import json
import signal
import sys
import threading
import time

import pytest

from answering_server import answering, cuts, drips, never_ends, sends, status
from graft.data.example import AnswerExample, ClassExample, Origin
from graft.errors import GraftError, InputError, Interrupted
from graft.inference.endpoint import Endpoint, EndpointPredictor, finished
from graft.inference.http import Limits
from graft.inference.kept_answers import KeptAnswers
from graft.inference.predictor import can_score
from graft.inference.server_url import ServerUrl, api_key, is_url


@pytest.fixture
def server():
    with answering() as found:
        yield found


def chat(*texts):
    return [
        AnswerExample(({"role": "user", "content": text},), "", Origin("a.jsonl", n)) for n, text in enumerate(texts, 1)
    ]


def predictor(server, path=None, **given):
    limits = Limits(**{"timeout": 20.0, **given.pop("limits", {})})
    endpoint = Endpoint(ServerUrl.parse(given.pop("url", server.url)), limits=limits, **given)
    return EndpointPredictor("p", "small-model", endpoint, KeptAnswers(path))


@pytest.mark.parametrize(
    ("typed", "base", "api"),
    [
        ("http://localhost:8080", "http://localhost:8080/v1", None),
        ("http://localhost:8080/", "http://localhost:8080/v1", None),
        ("http://localhost:8080/v1/", "http://localhost:8080/v1", None),
        ("http://localhost:8080/v1/models", "http://localhost:8080/v1", None),
        ("http://localhost:8080/v1/chat/completions", "http://localhost:8080/v1", "chat"),
        ("https://example.com/openai/v1/completions", "https://example.com/openai/v1", "completions"),
        ("HTTP://[::1]:80/api/v3", "http://[::1]:80/api/v3", None),
    ],
)
def test_an_address_is_read_as_people_have_it(typed, base, api):
    found = ServerUrl.parse(typed)
    assert (found.base, found.api) == (base, api) and is_url(typed)


@pytest.mark.parametrize("typed", ["http://", "http://:80/v1", "http://host:port/v1", "http://[::1/v1"])
def test_an_address_without_a_host_is_refused(typed):
    with pytest.raises(InputError, match="address"):
        ServerUrl.parse(typed)


def test_a_password_in_an_address_is_refused_and_not_shown():
    for typed in ("https://me:s3cret@example.com/v1?key=s3cret", "http://me:s3cret@host:port/v1?key=s3cret"):
        with pytest.raises(InputError) as caught:
            ServerUrl.parse(typed)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "is_local"),
    [
        ("http://localhost:1", True),
        ("http://127.0.0.9", True),
        ("http://[::1]:1", True),
        ("http://192.168.1.7", False),
        ("http://localhost.example.com", False),
        ("https://api.openai.com", False),
    ],
)
def test_which_servers_are_on_this_machine(typed, is_local):
    assert ServerUrl.parse(typed).is_local is is_local


def test_the_key_of_openai_goes_to_openai_and_to_this_machine_alone(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("OTHER", " sk-2\n")
    keys = {url: api_key(ServerUrl.parse(url), None) for url in ("https://api.openai.com", "http://localhost:1")}
    assert set(keys.values()) == {"sk-1"}
    for url in ("https://example.com", "https://openai.com.example.com", "https://notopenai.com"):
        assert api_key(ServerUrl.parse(url), None) is None
        assert api_key(ServerUrl.parse(url), "OTHER") == "sk-2"
    with pytest.raises(InputError, match="NONE is not set"):
        api_key(ServerUrl.parse("http://localhost:1"), "NONE")
    monkeypatch.setenv("OTHER", "sk-2\nX: y")
    with pytest.raises(InputError, match="no key") as caught:
        api_key(ServerUrl.parse("http://localhost:1"), "OTHER")
    assert "sk-2" not in str(caught.value)


def test_messages_go_to_chat_and_texts_to_completions(server):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    messages = ({"role": "system", "content": "be short"}, {"role": "user", "content": "hello"})
    rows = [
        AnswerExample(messages, "", Origin("a", 1), tools=tools, template_kwargs={"enable_thinking": False}),
        AnswerExample("Q: hello\nA:", "", Origin("a", 2)),
    ]
    asked = predictor(server, body={"seed": None, "stop": ["\n"]})
    assert asked.generate(rows, 7) == ["HELLO", "Q: HELLO\nA:"]
    assert not can_score(asked)
    common = {"model": "small-model", "max_tokens": 7, "temperature": 0, "stream": False, "stop": ["\n"]}
    kwargs = {"chat_template_kwargs": {"enable_thinking": False}}
    by_path = {path: body for _, path, _, body in server.seen}
    assert by_path == {
        "/v1/chat/completions": {**common, **kwargs, "messages": [dict(each) for each in messages], "tools": tools},
        "/v1/completions": {**common, "prompt": "Q: hello\nA:"},
    }


def test_the_interface_that_is_named_is_asked(server):
    text, messages = AnswerExample("hello", "", Origin("a", 1)), chat("hello")[0]
    assert predictor(server, api="chat").generate([text], 5) == ["HELLO"]
    assert server.bodies()[0]["messages"] == [{"role": "user", "content": "hello"}]
    with pytest.raises(InputError, match="takes a text"):
        predictor(server, api="completions").generate([messages], 5)
    with pytest.raises(InputError, match="another task"):
        predictor(server).generate([ClassExample("a", "b", Origin("a", 1))], 5)


def test_the_same_request_is_sent_once_and_some_at_a_time(server):
    server.seconds = 0.05
    texts = [f"say {n % 9}" for n in range(30)]
    told = []
    found = predictor(server, limits={"concurrency": 3}).generate(chat(*texts), 5, lambda *done: told.append(done))
    assert found == [text.upper() for text in texts]
    assert len(server.bodies()) == 9 and 1 < server.most_at_once <= 3
    assert told == [(n, 9) for n in range(1, 10)]


def test_what_was_answered_is_kept_and_not_asked_again(server, tmp_path):
    path = tmp_path / "out" / "answers.jsonl"
    server.faults = [None, None, status(400, "row too long")]
    rows = chat("a", "b", "c", "d")
    with pytest.raises(GraftError, match="row too long") as caught:
        predictor(server, path, limits={"concurrency": 1}).generate(rows, 5)
    problem = caught.value.problems[0]
    assert problem.where == "a.jsonl:3" and "2 of 4 answers are kept" in problem.remedy
    with path.open("a", encoding="utf-8") as file:
        file.write('{"key": "cut')  # the process was killed while it wrote
    assert predictor(server, path, limits={"concurrency": 1}).generate(rows, 5) == ["A", "B", "C", "D"]
    assert [body["messages"][0]["content"] for body in server.bodies()] == ["a", "b", "c", "c", "d"]
    assert predictor(server, path).generate(rows, 5) == ["A", "B", "C", "D"]
    assert len(server.bodies()) == 5
    assert len([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]) == 4


@pytest.mark.parametrize("change", [{"body": {"stop": ["x"]}}, {"url": "/v2"}, {"limit": 6}])
def test_another_setting_is_asked_anew(server, tmp_path, change):
    path = tmp_path / "answers.jsonl"
    predictor(server, path).generate(chat("a"), 5)
    limit = change.pop("limit", 5)
    if "url" in change:
        change["url"] = server.url + change["url"]
    predictor(server, path, **change).generate(chat("a"), limit)
    assert len(server.bodies()) == 2


def test_a_damaged_line_within_the_answers_is_an_error(server, tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"key": 1, "answer": "x"}\n{"key": "k", "answer": "x"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="'key' is 1; expected a string") as caught:
        KeptAnswers(path)
    assert caught.value.problems[0].where == f"{path}:1"


@pytest.mark.parametrize(
    "fault",
    [status(429, Retry_After="0"), status(503), status(500), cuts, sends({"error": {"message": "overloaded"}})],
    ids=["429", "503", "500", "cut", "error-in-200"],
)
def test_a_failure_that_passes_is_repeated(server, fault):
    server.faults = [fault, fault]
    assert predictor(server).generate(chat("a"), 5) == ["A"]
    assert len(server.bodies()) == 3


def test_a_failure_that_stays_ends_the_evaluation(server):
    server.faults = [status(500, "broken \x1b[31mred")] * 9
    with pytest.raises(GraftError, match=r"answered 500 Internal Server Error: broken \[31mred \(2 tries\)"):
        predictor(server, limits={"retries": 1}).generate(chat("a"), 5)
    assert len(server.bodies()) == 2


def test_a_server_that_asks_for_hours_is_not_waited_for(server):
    for asked in ("7200", "Fri, 31 Dec 2066 23:59:59 GMT"):
        server.faults = [status(429, Retry_After=asked)]
        with pytest.raises(GraftError, match="429 Too Many Requests: no; it asks to wait"):
            predictor(server).generate(chat("a"), 5)


def test_a_response_without_end_is_given_up(server):
    server.faults = [never_ends]
    with pytest.raises(GraftError, match="larger than 16 MB"):
        predictor(server).generate(chat("a"), 5)


@pytest.mark.parametrize("fault", [drips, lambda handler: time.sleep(3)], ids=["drips", "silent"])
def test_a_response_takes_no_longer_than_its_time(server, fault):
    server.faults = [fault]
    with pytest.raises(GraftError, match=r"no answer within 0.4 s") as caught:
        predictor(server, limits={"timeout": 0.4, "retries": 0}).generate(chat("a"), 5)
    assert "--endpoint_timeout" in caught.value.problems[0].remedy


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"<html>\x1b[2J hello</html>", "did not answer with JSON: '<html> "),
        ({"choices": []}, "unexpected answer"),
        ({"choices": [{"message": {"content": 5}}]}, "unexpected answer"),
        ({"choices": [{"text": "of the other interface"}]}, "the key 'choices.0.message' is missing"),
        ([], "unexpected answer: this is .*expected an object"),
        (b"[" * 100_000, "did not answer with JSON"),
    ],
)
def test_an_answer_of_another_form_is_an_error_without_more_tries(server, document, said):
    server.faults = [sends(document)]
    with pytest.raises(GraftError, match=said) as caught:
        predictor(server).generate(chat("a"), 5)
    assert "\x1b" not in str(caught.value) and len(server.bodies()) == 1


def test_redirects_are_not_followed(server):
    with answering() as other:
        server.faults = [status(307, Location=f"{other.url}/v1/chat/completions")]
        with pytest.raises(GraftError, match="redirects are not followed"):
            predictor(server).generate(chat("a"), 5)
        assert not other.seen


def test_the_key_is_sent_and_never_shown(server):
    server.faults = [status(401, "the key sk-secret is wrong")]
    with pytest.raises(GraftError, match=r"the key \*\*\* is wrong") as caught:
        predictor(server, key="sk-secret").generate(chat("a"), 5)
    assert "sk-secret" not in str(caught.value)
    assert server.seen[0][2]["Authorization"] == "Bearer sk-secret"
    server.faults = [status(401)]
    with pytest.raises(GraftError, match="--api_key_env"):
        predictor(server).generate(chat("a"), 5)


def test_reasoning_is_no_part_of_an_answer(server):
    contents = [
        "<think>so</think>\n\nyes",
        "no",
        None,
        [{"type": "text", "text": "par"}, {"type": "text", "text": "ts"}],
    ]
    server.faults = [
        sends({"choices": [{"message": {"content": text, "reasoning_content": "hm"}, "finish_reason": "stop"}]})
        for text in contents
    ]
    found = predictor(server, limits={"concurrency": 1}).generate(chat("a", "b", "c", "d"), 5)
    assert found == ["yes", "no", "", "parts"]


def test_the_model_is_the_named_one_or_the_only_one(server):
    endpoint = predictor(server).endpoint
    assert endpoint.model_name(None) == "small-model"
    with pytest.raises(InputError, match="no model 'small'") as caught:
        endpoint.model_name("small")
    assert caught.value.problems[0].remedy == "did you mean small-model? it has: small-model"
    server.models = ["llama:latest", "qwen:0.5b"]
    assert endpoint.model_name("llama") == "llama" and endpoint.model_name("qwen:0.5b") == "qwen:0.5b"
    with pytest.raises(InputError, match="the server has 2 models: name the one"):
        endpoint.model_name(None)
    server.list_fault = status(404)
    assert endpoint.model_name("any") == "any"
    with pytest.raises(InputError, match="does not list its models"):
        endpoint.model_name(None)
    server.list_fault = status(401)
    with pytest.raises(InputError, match="401 Unauthorized"):
        endpoint.model_name("any")


def test_a_server_that_is_not_there_is_said_at_once():
    with answering() as server:
        endpoint = predictor(server).endpoint
    with pytest.raises(InputError, match="cannot connect") as caught:
        endpoint.model_name("any")
    assert caught.value.problems[0].remedy == "check that the server runs"


def test_within_a_running_event_loop_as_in_a_notebook(server):
    async def cell():
        return predictor(server).generate(chat("a"), 5)

    assert asyncio.run(cell()) == ["A"]


@pytest.mark.skipif(sys.platform == "win32", reason="no signal can be sent to one thread there")
def test_an_interrupt_within_a_running_event_loop_ends_the_requests(server):
    server.seconds = 20.0

    async def cell():
        return predictor(server).generate(chat("a", "b"), 5)

    interrupt = threading.Timer(1.0, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    interrupt.start()
    loop, began = asyncio.new_event_loop(), time.monotonic()
    with pytest.raises(Interrupted):
        loop.run_until_complete(cell())
    loop.close()
    assert time.monotonic() - began < 15  # it did not wait for the answers


def test_finished_returns_what_the_work_returns():
    async def work():
        return 5

    assert finished(work()) == 5


def test_a_rows_own_template_variables_win_and_texts_get_none(server):
    row = AnswerExample(({"role": "user", "content": "a"},), "", Origin("a", 1), template_kwargs={"x": 1, "y": 1})
    asked = predictor(server, template_kwargs={"y": 2, "z": 2})
    asked.generate([row, AnswerExample("text", "", Origin("a", 2))], 5)
    sent = {"messages" in body: body.get("chat_template_kwargs") for body in server.bodies()}
    assert sent == {True: {"x": 1, "y": 1, "z": 2}, False: None}


def test_the_limit_that_is_sent():
    at = ServerUrl.parse("http://localhost")
    limits = [Endpoint(at, body=b).limit(9) for b in ({}, {"max_tokens": None}, {"max_completion_tokens": 7})]
    assert limits == [9, None, 7]


def test_what_cannot_be_sent_is_an_error_of_the_user(server, monkeypatch):
    with pytest.raises(GraftError, match="cannot be sent"):
        predictor(server, body={"top_p": float("nan")}).generate(chat("a"), 5)
    with pytest.raises(InputError, match="cannot"):
        predictor(server, url=f"http://{'a' * 70}.example").endpoint.model_name("m")
    monkeypatch.setenv("ALL_PROXY", "strange://user:s3cret@localhost:1")
    with pytest.raises(InputError, match="proxy") as caught:
        predictor(server, url="http://models.example").endpoint.model_name("m")
    assert "s3cret" not in str(caught.value)


def test_rows_that_the_server_refuses_are_passed_over_up_to_a_number_and_are_not_kept(server, tmp_path):
    server.faults = [status(400, "too long"), None, status(422)]
    path = tmp_path / "answers.jsonl"
    asked = predictor(server, path, limits={"concurrency": 1})
    asked.refusals = 2
    assert asked.generate(chat("a", "b", "c", "d"), 5) == ["", "B", "", "D"]
    assert asked.answered[0].finish_reason == "refused: the server answered 400 Bad Request: too long"
    assert len(path.read_text("utf-8").splitlines()) == 2
    server.faults = [status(400), status(400), status(400)]
    with pytest.raises(GraftError, match="400"):
        asked.generate(chat("e", "f", "g"), 5)
    assert asked.generate(chat("a", "b", "c", "d"), 5) == list("ABCD")
