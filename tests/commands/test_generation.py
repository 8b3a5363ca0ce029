"""``graft prepare --generate``: rows whose answers a server or a model on this machine writes."""

import json
import signal
import subprocess
import sys
import time

import pytest

from answering_server import answering, sends, status
from graft.cli.main import main
from graft.commands.prepare import prepare_data, settings_class
from graft.config import build
from graft.data.provenance import PROVENANCE
from graft.errors import GraftError, InputError

TEXTS = [f"this is a {word} day, the {n}th of many" for n in range(6) for word in ("lovely", "dreadful")]
LABELS = "good,bad"


def tone(text):
    return "Good." if "lovely" in text else "bad"


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def server():
    with answering(tone) as found:
        yield found


@pytest.fixture
def prompts(tmp_path):
    return write(tmp_path / "prompts.jsonl", [{"text": text, "id": n} for n, text in enumerate(TEXTS)])


def generate(output, server, **given):
    endpoint = {} if server is None else {"endpoint": server.url, "endpoint_concurrency": 1}
    return prepare_data(build(settings_class(), {"output_path": output, **endpoint, **given}))


def asked(server):
    return [body["messages"][-1]["content"].split("\n\n")[-1] for body in server.bodies()]


def without(row):
    return {name: value for name, value in row.items() if name != PROVENANCE}


def test_labels_of_texts_are_asked_as_rows_with_labels_are_trained_and_say_where_they_are_from(
    server, prompts, tmp_path
):
    out = tmp_path / "out"
    generate(out, server, generate=prompts, generate_labels=LABELS)
    rows = read(out / "train.jsonl")
    assert [without(row) for row in rows] == [
        {"text": text, "id": n, "label": "good" if "lovely" in text else "bad"} for n, text in enumerate(TEXTS)
    ]
    assert rows[3][PROVENANCE] == {
        "step": "generate",
        "teacher": "small-model",
        "endpoint": f"{server.url}/v1",
        "source": f"{prompts}:4",
    }
    body = server.bodies()[0]
    assert body["messages"][0]["content"] == (
        f"Classify the text as one of: bad, good. Answer with one of these only.\n\n{TEXTS[0]}"
    )
    assert body["max_tokens"] == 32 and body["temperature"] == 0
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    assert list(manifest["files"]) == [prompts]


@pytest.mark.parametrize(
    ("row", "given", "sent", "made"),
    [
        ({"prompt": "hello you"}, {}, ["hello you"], {"prompt": "hello you", "completion": "HELLO YOU"}),
        (
            {"prompt": "hello", "history": [["a", "b"]]},
            {"ignore_columns": "history"},
            ["hello"],
            {"prompt": "hello", "completion": "HELLO"},
        ),
        (
            {"prompt": "hello"},
            {"system_prompt": "Be kind."},
            ["Be kind.", "hello"],
            {"prompt": "hello", "completion": "HELLO"},
        ),
        (
            {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}]},
            {},
            ["Be kind.", "hello"],
            {
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "user", "content": "hello"},
                    {"role": "assistant", "content": "HELLO"},
                ]
            },
        ),
        (
            {"conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "an old answer"}]},
            {},
            ["hello"],
            {"conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "HELLO"}]},
        ),
        (
            {"instruction": "Shout.", "input": "hello"},
            {},
            ["Shout.\n\nhello"],
            {"instruction": "Shout.", "input": "hello", "output": "SHOUT.\n\nHELLO"},
        ),
        (
            {"text": "hello"},
            {"instruction": "Shout."},
            ["Shout.\n\nhello"],
            {"prompt": "Shout.\n\nhello", "completion": "SHOUT.\n\nHELLO"},
        ),
        (
            {"word": "hello"},
            {"prompt_template": "Shout {word}!", "completion_template": "{shout}"},
            ["Shout hello!"],
            {"word": "hello", "shout": "SHOUT HELLO!"},
        ),
    ],
)
def test_prompts_are_read_as_rows_are_and_the_answer_is_written_where_theirs_is(
    server, tmp_path, row, given, sent, made
):
    server.write = str.upper
    out = tmp_path / "out"
    generate(out, server, generate=write(tmp_path / "p.jsonl", [row]), **given)
    assert [message["content"] for message in server.bodies()[0]["messages"]] == sent
    assert [without(row) for row in read(out / "train.jsonl")] == [made]


def test_with_data_prompts_are_asked_as_its_rows_and_get_what_it_has_for_a_class(server, prompts, tmp_path):
    data = [
        {"text": f"a {w} evening, the {n}th", "label": c} for n in range(5) for c, w in enumerate(("dull", "lovely"))
    ]
    out = tmp_path / "out"
    files = write(tmp_path / "data.jsonl", data)
    generate(out, server, data_files=files, generate=prompts, label_names="bad,good")
    rows = read(out / "train.jsonl")
    assert [without(row) for row in rows[:10]] == data
    assert [row["label"] for row in rows[10:]] == [1, 0] * 6
    assert "one of: bad, good." in server.bodies()[0]["messages"][0]["content"]


@pytest.mark.parametrize(
    "columns", [lambda q: {"text": q, "label": "bad"}, lambda q: {"question": q, "choices": ["a"]}]
)
def test_prompts_that_models_are_judged_by_are_not_sent(columns, server, prompts, tmp_path):
    judged = write(tmp_path / "eval.jsonl", [{"text": TEXTS[2].upper() + "!", "label": "good"}])
    against = write(tmp_path / "bench.jsonl", [columns(TEXTS[5])])
    doubled = [*({"text": text} for text in TEXTS), {"text": TEXTS[0]}]
    prompts, out = write(tmp_path / "p.jsonl", doubled), tmp_path / "out"
    done = generate(out, server, generate=prompts, generate_labels=LABELS, eval_data_files=judged, against=against)
    assert sorted(asked(server)) == sorted(set(TEXTS) - {TEXTS[2], TEXTS[5]})
    assert done.changes["generate"] == {"added": 10, "dropped": 3} and done.rows == {"train": 10, "eval": 1}
    whys = [change["why"] for change in read(out / "changes.jsonl") if change["action"] == "dropped"]
    assert len(whys) == 3 and sum("evaluation row" in why for why in whys) == 2


def test_answers_that_cannot_be_trained_on_are_left_out_with_the_reason(server, tmp_path):
    def choice(text, reason):
        return sends({"choices": [{"message": {"content": text}, "finish_reason": reason}]})

    server.faults = [
        choice("a long sto", "length"),
        choice("  ", "stop"),
        choice(None, "content_filter"),
        choice("I'm sorry, but I can't help with that.", "stop"),
        status(400, "the prompt is too long"),
        choice("caf\u00c3\u00a9 au lait", "stop"),
    ]
    rows = [{"prompt": f"question {n} about something else: {'abcdefg'[n] * 9}"} for n in range(7)]
    server.write = lambda text: "an answer"
    out = tmp_path / "out"
    generate(out, server, generate=write(tmp_path / "p.jsonl", rows))
    assert [row["prompt"] for row in read(out / "train.jsonl")] == [rows[6]["prompt"]]
    whys = [change["why"] for change in read(out / "changes.jsonl") if change["action"] == "dropped"]
    for said, why in zip(("cut at 512", "empty", "filter", "refused", "too long", "mojibake"), whys, strict=True):
        assert said in why
    server.write = lambda text: "neither, really"
    with pytest.raises(InputError, match=r"no answer can be trained on: .* not one of the labels bad, good \(1\)"):
        generate(
            tmp_path / "two", server, generate=write(tmp_path / "t.jsonl", [{"text": "x"}]), generate_labels=LABELS
        )


def test_what_passes_is_tried_again_and_what_does_not_ends_with_the_answers_kept(server, prompts, tmp_path):
    out, given = tmp_path / "out", {"generate": prompts, "generate_labels": LABELS, "endpoint_retries": 1}
    server.faults = [
        status(429, retry_after="0"),
        None,
        status(503, retry_after="0"),
        None,
        None,
        *[status(500, retry_after="0")] * 2,
    ]
    with pytest.raises(GraftError, match=r"500.*2 tries") as caught:
        generate(out, server, **given)
    assert "3 of 12 answers are kept: run the same command again" in str(caught.value) and not out.exists()
    server.seen.clear()
    generate(out, server, **given)
    assert len(server.bodies()) == 9 and len(read(out / "train.jsonl")) == 12
    assert len(read(tmp_path / "out.answers.jsonl")) == 12


def test_what_is_no_answer_of_such_a_server_ends_the_work_and_nothing_is_written(server, prompts, tmp_path):
    for garbage in (b"<html>", {"choices": []}, {"other": 1}, b"\xff\xfe"):
        server.faults = [sends(garbage)]
        with pytest.raises(GraftError):
            generate(tmp_path / "out", server, generate=prompts, generate_labels=LABELS)
        assert not (tmp_path / "out").exists()


def test_a_second_run_over_its_own_output_asks_and_adds_nothing(server, prompts, tmp_path):
    given = {"generate": prompts, "generate_labels": LABELS, "generate_limit": 6}
    generate(tmp_path / "one", server, **given)
    server.seen.clear()
    done = generate(tmp_path / "two", server, data_files=str(tmp_path / "one" / "train.jsonl"), **given)
    assert server.bodies() == [] and done.changes["generate"] == {}
    assert (tmp_path / "two" / "train.jsonl").read_bytes() == (tmp_path / "one" / "train.jsonl").read_bytes()


def test_no_secret_is_written(server, prompts, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-hidden")
    given = {"endpoint": f"{server.url}/v1?api-key=s3cret", "endpoint_body": '{"api_key": "b0dy"}'}
    generate(tmp_path / "out", server, generate=prompts, generate_labels=LABELS, api_key_env="MY_KEY", **given)
    assert server.seen[-1][2]["Authorization"] == "Bearer sk-hidden"
    written = "".join(file.read_text("utf-8") for file in tmp_path.rglob("*") if file.is_file())
    assert all(secret not in written for secret in ("sk-hidden", "s3cret", "b0dy"))


def test_recorded_settings_name_the_secrets_that_they_lack_and_send_no_mask(server, tmp_path, capsys):
    prompts = write(tmp_path / "prompts.jsonl", [{"prompt": text} for text in TEXTS])
    key = "sk-" + "a1" * 12
    secret = {
        "endpoint": f"{server.url}/v1/chat/completions?api-key=s3cret",
        "endpoint_body": {"extra": {"note": key}, "top_k": 3},
    }
    generate(tmp_path / "out", server, generate=prompts, **secret)
    sent = len(server.bodies())
    config = tmp_path / "out" / "config.yaml"
    text = config.read_text("utf-8") + (tmp_path / "out" / "train.jsonl").read_text("utf-8")
    assert f"{server.url}/v1/chat/completions?api-key=***" in text and "s3cret" not in text and key not in text
    words = ["prepare", "--config", str(config), "-o", str(tmp_path / "again")]
    assert main(words) == 2 and len(server.bodies()) == sent
    said = capsys.readouterr().err
    assert "endpoint_body.extra.note" in said and "this address lacks them" in said
    again = [*words, "--endpoint", secret["endpoint"], "--endpoint_body", json.dumps(secret["endpoint_body"])]
    assert main(again) == 0 and len(server.bodies()) == 2 * sent
    assert server.bodies()[sent:] == server.bodies()[:sent]


def test_what_is_missing_is_named(server, prompts, tmp_path):
    for given, said in (
        ({"generate": prompts, "generate_labels": LABELS}, "no teacher"),
        ({"data_files": prompts, "endpoint_retries": 2}, "endpoint_retries applies only to a server"),
        ({"data_files": prompts, "endpoint": server.url, "generate_labels": "a,b"}, "no prompts"),
        ({"generate": prompts, "endpoint": server.url}, "texts alone do not say what is asked"),
        ({"generate": prompts, "endpoint": server.url, "endpoint_body": "stream=true"}, "cannot set stream"),
        (
            {"generate": prompts, "endpoint": server.url, "teacher": "other", "generate_labels": LABELS},
            "no model 'other'",
        ),
    ):
        with pytest.raises(InputError, match=said):
            generate(tmp_path / "out", None, **given)
    assert server.bodies() == [] and not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not ended by signals there")
def test_a_killed_run_goes_on_where_it_was(server, prompts, tmp_path):
    server.seconds = 0.3
    out, kept = tmp_path / "out", tmp_path / "out.answers.jsonl"
    words = ["prepare", "--generate", prompts, "--generate_labels", LABELS, "--endpoint", server.url, "-o", str(out)]
    words += ["--endpoint_concurrency", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from graft.cli.main import main; sys.exit(main())", *words]
    )
    until = time.monotonic() + 120
    while not (kept.exists() and kept.stat().st_size) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    before = len(read(kept))
    assert 0 < before < 12 and not out.exists()
    server.seconds = 0.0
    server.seen.clear()
    assert main(words) == 0
    assert len(server.bodies()) == 12 - before and len(read(out / "train.jsonl")) == 12


def test_a_pass_of_a_workflow_asks_a_teacher(server, prompts, tmp_path):
    asks = {"type": "generate", "generate": prompts, "generate_labels": LABELS, "endpoint": server.url}
    flow = tmp_path / "flow.yaml"
    flow.write_text(json.dumps({"output_path": str(tmp_path / "flow"), "passes": {"ask": asks}}), encoding="utf-8")
    assert main(["run", "--config", str(flow)]) == 0
    assert len(read(tmp_path / "flow" / "train.jsonl")) == len(TEXTS)
