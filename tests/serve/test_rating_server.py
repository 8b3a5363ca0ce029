"""The server of a rating: who may ask, what is refused, and what is written."""

from __future__ import annotations

import http.client
import json
import os
import stat
import threading

import pytest

from graft.errors import InputError
from graft.evaluation.human.page import policy, rating_page
from graft.serve.rating import RatingServer, serving
from rated_rows import HOSTILE, lines_of, opened, rated_run


@pytest.fixture
def run(tmp_path):
    return rated_run(tmp_path / "run", 4)


@pytest.fixture
def server(run):
    with serving(opened(run, rows=4, raters=("ann", "bob")).rating) as found:
        yield found


def ask(server, path="/api/row", rater="ann", body=None, method=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    given = {"Authorization": f"Bearer {server.tokens.get(rater, rater)}"} if rater else {}
    if body is not None:
        given["Content-Type"] = "application/json"
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method or ("GET" if body is None else "POST"), path, body, given)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    is_json = answer.headers["Content-Type"] == "application/json"
    return answer.status, json.loads(content) if is_json else content.decode(), answer.headers


def test_it_listens_on_this_machine_alone_and_each_rater_has_a_secret(server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    ann, bob = server.address("ann"), server.address("bob")
    assert ann != bob and ann.startswith("http://127.0.0.1:") and len(ann.split("#")[1]) >= 32


def test_the_page_itself_holds_no_row_and_allows_nothing_from_elsewhere(server) -> None:
    status, page, headers = ask(server, "/", rater="")
    assert status == 200 and "Package" not in page
    said = headers["Content-Security-Policy"]
    assert said.startswith("default-src 'none'") and "unsafe" not in said and "frame-ancestors 'none'" in said
    assert "http:" not in page.replace("http://127", "") and "https:" not in page and " src=" not in page
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/api/row", "/api/rating", "/api/row?place=1"])
def test_without_the_secret_there_is_nothing(server, path) -> None:
    for rater in ("", "wrong", "é"):
        status, found, _ = ask(server, path, rater)
        assert status == 401 and "Package" not in str(found)
    status, _, _ = ask(server, path, "", Authorization=f"Basic {server.tokens['ann']}")
    assert status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "127.0.0.1"},
    ],
)
def test_a_name_that_was_rebound_and_another_page_are_refused(server, run, headers) -> None:
    given = {name: value.format(port=server.server_port) for name, value in headers.items()}
    item = ask(server)[1]["item"]["key"]
    for path, body in (("/api/row", None), ("/", None), ("/api/judgment", {"item": item, "choice": "left"})):
        status, found, _ = ask(server, path, "ann", body, **given)
        assert status == 403 and "item" not in found
    assert not (run / "judgments.jsonl").exists()


def test_a_judgment_is_written_at_once_and_for_this_user_alone(server, run) -> None:
    _, state, _ = ask(server)
    sent = {"item": state["item"]["key"], "choice": "left", "comment": " good ", "seconds": 2.5}
    status, after, _ = ask(server, "/api/judgment", body=sent)
    assert status == 200 and (after["done"], after["total"]) == (1, 4) and after["item"]["key"] != sent["item"]
    (line,) = lines_of(run)
    assert (line["rater"], line["choice"], line["comment"], line["seconds"]) == ("ann", "left", "good", 2.5)
    assert {line["left"], line["right"]} == {"base", "tuned"}
    if os.name == "posix":
        for name in ("judgments.jsonl", "rating.json"):
            assert stat.S_IMODE((run / name).stat().st_mode) == 0o600
    assert ask(server, rater="bob")[1]["done"] == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 100_000, 413),
        (b"[" * 10_000, 400),
        ({"item": "other", "choice": "left"}, 400),
        ({"choice": "left"}, 400),
        ({"item": "ITEM", "choice": "middle"}, 400),
        ({"item": "ITEM", "choice": ["left"]}, 400),
        ({"item": "ITEM", "choice": "left", "comment": 3}, 400),
        ({"item": "ITEM", "choice": "left", "comment": "x" * 5001}, 400),
        ({"item": "ITEM", "choice": "left", "criteria": {"unknown": [1, 2]}}, 400),
    ],
    ids=str,
)
def test_what_is_no_judgment_is_refused_and_nothing_is_written(server, run, body, status) -> None:
    if isinstance(body, dict) and body.get("item") == "ITEM":
        body = {**body, "item": ask(server)[1]["item"]["key"]}
    found = ask(server, "/api/judgment", body=body)
    assert found[0] == status and found[1]["error"]
    assert not (run / "judgments.jsonl").exists()
    assert ask(server)[0] == 200  # and it goes on


def test_a_form_of_another_page_is_no_judgment(server, run) -> None:
    item = ask(server)[1]["item"]["key"]
    body = json.dumps({"item": item, "choice": "left"}).encode()
    assert ask(server, "/api/judgment", body=body, Content_Type="text/plain")[0] == 415
    assert not (run / "judgments.jsonl").exists()


def test_many_raters_at_once_lose_no_judgment(run) -> None:
    names = tuple(f"r{n}" for n in range(8))
    with serving(opened(run, rows=4, raters=names).rating) as server:

        def judge(rater):
            while (item := ask(server, rater=rater)[1]["item"]) is not None:
                ask(server, "/api/judgment", rater, {"item": item["key"], "choice": "tie"})

        threads = [threading.Thread(target=judge, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({(line["rater"], line["item"]) for line in lines_of(run)}) == len(lines_of(run)) == 32


def test_a_restart_goes_on_where_it_was_even_behind_a_line_that_was_cut_off(run) -> None:
    with serving(opened(run, rows=4).rating) as server:
        item = ask(server, rater="rater")[1]["item"]["key"]
        ask(server, "/api/judgment", "rater", {"item": item, "choice": "right"})
        token = server.tokens["rater"]
    with (run / "judgments.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"item": "torn')
    with serving(opened(run, rows=4).rating) as server:
        state = ask(server, rater="rater")[1]
        assert state["done"] == 1 and state["item"]["key"] != item
        assert ask(server, rater=token)[0] == 401  # the secret was of the earlier session
        ask(server, "/api/judgment", "rater", {"item": state["item"]["key"], "choice": "tie"})
    assert [line["choice"] for line in lines_of(run)] == ["right", "tie"]


def test_a_port_that_is_taken(server) -> None:
    with pytest.raises(InputError, match="cannot listen on port"):
        RatingServer(server.rating, server.server_port)


def test_a_sheet_holds_hostile_answers_as_data(run) -> None:
    page = rating_page(
        {"id": "x", "rater": "</script><b>", "questions": [], "items": [{"answers": [HOSTILE, "@STYLE@"]}]}
    )
    assert "<script>document" not in page and "</script><b>" not in page and "\x1b" not in page
    assert page.count("@STYLE@") == 1 and policy(is_sheet=True).count("connect-src 'none'") == 1
