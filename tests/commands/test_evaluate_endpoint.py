"""``graft evaluate http://…``: the real llama.cpp server with a file of graft's, and servers that fail."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

import graft
from answering_server import answering, status
from graft.cli.main import main
from graft.commands.evaluate_endpoint import NO_EFFECT
from graft.commands.export import export_model
from graft.config.common import BackendSettings, ModelSettings
from graft.errors import InputError
from graft.export.cached_predictions import recorded_evaluation
from graft.runs.folder import RunFolder
from graft.runs.kind import FolderKind, folder_kind
from small_runs import tune
from task_rows import pairs, several
from tiny_models import tiny_model_folder
from tiny_task_models import tiny_bert_folder

MOODS = {"good": ["fine day", "lovely cake", "what a joy"], "bad": ["awful rain", "burnt toast", "what a mess"]}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def moods(tmp_path_factory):
    rows = [{"text": f"{text} {n}", "label": mood} for n in range(8) for mood in MOODS for text in MOODS[mood]]
    return write(tmp_path_factory.mktemp("data") / "moods.jsonl", rows)


@pytest.fixture(scope="module")
def run(moods, tmp_path_factory):
    """All weights are trained for long enough to answer the two words, and to be wrong now and then."""
    model = tiny_model_folder(tmp_path_factory.mktemp("models"), "llama", width=64)
    folder = tmp_path_factory.mktemp("runs") / "moods"
    return tune(model, moods, folder, method="full", max_steps=80, evaluate=True)


@pytest.fixture(scope="module")
def llama_cpp(run, tmp_path_factory):
    """The address of llama.cpp's own server with the run's model."""
    xllamacpp = pytest.importorskip("xllamacpp")
    out = tmp_path_factory.mktemp("gguf") / "out"
    given = {"model_name_or_path": str(run), "format": "gguf", "precision": "float32", "output_path": str(out)}
    (file,) = export_model(given).glob("*.gguf")
    parameters = xllamacpp.CommonParams()
    parameters.model.path, parameters.n_ctx, parameters.n_parallel = str(file), 2048, 2
    parameters.cpuparams.n_threads, parameters.verbosity = 1, -1
    server = xllamacpp.Server(parameters)
    yield server.listening_address
    del server


def test_a_run_and_its_file_behind_a_server_answer_the_same(run, llama_cpp, tmp_path, capsys):
    assert main(["evaluate", llama_cpp, "--run", str(run), "-o", str(tmp_path / "out"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    name = document["endpoint"]["name"]
    assert list(document["predictors"]) == ["base", "tuned", name]
    tuned, served = document["predictors"]["tuned"], document["predictors"][name]
    assert tuned["exact_match"] == served["exact_match"] and tuned["exact_match"]["value"] > 0
    recorded = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert tuned["accuracy"] == recorded["predictors"]["tuned"]["accuracy"]
    assert document["max_new_tokens"] == recorded["max_new_tokens"]
    lines = read(tmp_path / "out" / "predictions.jsonl")
    assert [line["answers"][name] for line in lines] == [line["answers"]["tuned"] for line in lines]
    assert len({line["answers"][name] for line in lines}) > 1
    first = document["differences"][0]
    assert (first["from"], first["to"]) == ("tuned", name)
    between = {d["metric"]: d["value"] for d in document["differences"] if (d["from"], d["to"]) == ("tuned", name)}
    assert between["exact_match"] == 0.0 and "perplexity" not in between
    assert document["endpoint"]["url"] == f"{llama_cpp}/v1" and document["endpoint"]["api"] == "chat"
    assert document["endpoint"]["completion_tokens"] > 0
    assert any(note.startswith("left out: perplexity") for note in document["endpoint"]["notes"])
    assert folder_kind(tmp_path / "out") is FolderKind.EVALUATION
    assert name in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert main(["doctor", str(tmp_path / "out")]) == 0 and name in capsys.readouterr().out
    assert main(["show", str(tmp_path / "out")]) == 0
    assert name in capsys.readouterr().out


def test_the_text_of_the_runs_template_gets_the_same_answers_from_completions(run, llama_cpp, tmp_path):
    for api in ("chat", "completions"):
        graft.evaluate(llama_cpp, run=str(run), endpoint_api=api, output_path=tmp_path / api)
    chat, text = (read(tmp_path / api / "predictions.jsonl") for api in ("chat", "completions"))
    assert [line["answers"] for line in chat] == [line["answers"] for line in text]


def test_the_python_api_scores_a_server_on_a_file(run, llama_cpp, moods):
    scores = graft.evaluate(llama_cpp, moods, max_new_tokens=8, bootstrap_samples=100)
    (name,) = scores
    model = graft.evaluate(run / "model", moods, "exact_match", max_new_tokens=8, bootstrap_samples=100)
    assert scores[name]["exact_match"].value == model["base"]["exact_match"].value
    assert scores[name]["accuracy"].value == scores[name]["exact_match"].value  # it answers with the two words
    assert scores[name]["accuracy"].n == 48


def test_plain_texts_are_completed(llama_cpp, tmp_path):
    rows = write(tmp_path / "rows.jsonl", [{"a": f"the quick {n}", "b": "brown"} for n in range(4)])
    main(["evaluate", llama_cpp, str(rows), "--text_template", "{a} {b}", "-o", str(tmp_path / "out")])
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert document["endpoint"]["api"] == "completions"
    assert all(line["answers"] for line in read(tmp_path / "out" / "predictions.jsonl"))


def mood_of(text):
    """Answers as a chat model does: one of the words, with a period."""
    return "Good." if any(good in text.rpartition("\n")[2] for good in MOODS["good"]) else "I cannot say"


def test_a_classifier_is_compared_with_what_a_server_writes(moods, tmp_path, capsys):
    model = tiny_bert_folder(tmp_path)
    run = tune(model, moods, tmp_path / "run", method="full", max_steps=4, evaluate=True)
    with answering(mood_of) as server:
        assert main(["evaluate", server.url, "--run", str(run), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        prompt = server.bodies()[0]["messages"][-1]["content"]
    assert "good" in prompt and "bad" in prompt and "\n" in prompt
    assert list(document["predictors"]) == ["base", "tuned", "small-model"]
    share = 1 - document["endpoint"]["no_label"] / document["data"]["rows"]
    assert document["predictors"]["small-model"]["accuracy"]["value"] == pytest.approx(share, abs=1e-6)
    assert 0 < share < 1
    matrix = document["confusion"]["small-model"]
    assert document["labels"] == ["bad", "good"] and [len(row) for row in matrix] == [3, 3]
    assert matrix[0][2] == document["endpoint"]["no_label"] and matrix[1] == [0, matrix[1][1], 0]


def test_several_labels_a_row_and_other_rows_of_heads(tmp_path, capsys):
    model = tiny_bert_folder(tmp_path)
    some, two = write(tmp_path / "labels.jsonl", several()), write(tmp_path / "pairs.jsonl", pairs())
    labels = tune(model, some, tmp_path / "labels", method="full", max_steps=2, evaluate=True)
    both = tune(model, two, tmp_path / "pairs", method="full", max_steps=2, task="feature-extraction")
    with answering(lambda text: "[]") as server:
        assert main(["evaluate", server.url, "--run", str(labels), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert list(document["predictors"]["small-model"]) == ["label_f1", "exact_match"]
        assert main(["evaluate", server.url, "--run", str(both)]) == 2
    assert "pairs of texts cannot be asked of a server" in capsys.readouterr().err


def test_a_run_without_an_evaluation_of_the_rows_stands_not_beside_it(run, tmp_path, capsys):
    other = write(
        tmp_path / "other.jsonl", [{"text": "fine day 99", "label": "good"}, {"text": "rain", "label": "bad"}]
    )
    with answering(mood_of) as server:
        assert main(["evaluate", server.url, str(other), "--run", str(run), "--json"]) == 0
    captured = capsys.readouterr()
    assert list(json.loads(captured.out)["predictors"]) == ["small-model"]
    with answering(mood_of) as server:
        assert main(["evaluate", server.url, "--run", str(run), "--max_eval_samples", "6", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["predictors"]) == ["base", "tuned", "small-model"] and document["data"]["rows"] == 6


def test_what_the_run_did_not_record_is_said(run, capsys):
    with answering(mood_of) as server:
        assert main(["evaluate", server.url, "--run", str(run), "--metrics", "accuracy,perplexity"]) == 2
    assert "perplexity cannot be measured: small-model gives no likelihoods" in capsys.readouterr().err


def test_all_that_is_wrong_is_said_before_anything_is_sent(run, tmp_path, capsys):
    with answering() as server:
        line = ["evaluate", server.url, "--run", str(tmp_path / "no"), "-o", str(run), "--chat_template", "x"]
        line += ["--endpoint_body", '{"prompt": "x"}', "--api_key_env", "NO_SUCH_KEY"]
        assert main(line) == 2
        assert not server.seen
    said = capsys.readouterr().err
    for part in ("no such folder", "the output folder is a run folder", "--chat_template has no effect", "prompt"):
        assert part in said
    assert "NO_SUCH_KEY is not set" in said
    assert main(["evaluate", server.url, "--data_files", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl: no such file" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--endpoint_concurrency", "2"]) == 2
    assert "--endpoint_concurrency applies only to a server" in capsys.readouterr().err


def test_a_failed_evaluation_goes_on_where_it_was(moods, tmp_path, capsys):
    out = tmp_path / "out"
    with answering(mood_of) as server:
        server.faults = [*[None] * 20, status(400, "too long")]
        line = ["evaluate", server.url, str(moods), "--model", "small-model", "-o", str(out)]
        assert main([*line, "--endpoint_concurrency", "1"]) == 1
        said = capsys.readouterr().err
        assert "moods.jsonl:21: " in said and "20 of 48 answers are kept" in said and "Traceback" not in said
        assert not (out / "evaluation.json").exists()
        assert main(line) == 0
        assert "answering 20/48" in capsys.readouterr().err
        assert len(server.bodies()) == 49
        assert main([*line, "--metrics", "exact_match"]) == 0  # other metrics of the same answers
        assert len(server.bodies()) == 49
    assert main(line) == 2  # the server is gone
    assert "cannot connect" in capsys.readouterr().err


def test_rows_that_leave_the_machine_are_said(moods, tmp_path, capsys, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    monkeypatch.setenv("OTHER_KEY", "sk-of-other")
    line = ["evaluate", "http://models.example/v1?code=s3cret", str(moods), "--max_eval_samples", "4"]
    with answering(mood_of) as proxy:  # it answers for the other machine
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert main([*line, "-o", str(tmp_path / "out")]) == 0
        said = capsys.readouterr().err
        assert "4 rows leave this machine, unencrypted, for http://models.example/v1" in said
        assert {path for _, path, _, _ in proxy.seen} == {
            "http://models.example/v1/models?code=s3cret",
            "http://models.example/v1/chat/completions?code=s3cret",
        }
        assert all("Authorization" not in headers for _, _, headers, _ in proxy.seen)
        assert main([*line, "--api_key_env", "OTHER_KEY", "-o", str(tmp_path / "with_key")]) == 0
        assert proxy.seen[-1][2]["Authorization"] == "Bearer sk-of-other"
    written = "".join(file.read_text(encoding="utf-8") for file in tmp_path.rglob("*.json*"))
    assert "models.example" in written and "s3cret" not in written and "sk-of" not in written


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent to one process there")
def test_ctrl_c_keeps_what_came_and_the_same_command_goes_on(moods, tmp_path):
    out = tmp_path / "out"
    with answering(mood_of) as server:
        server.seconds = 0.2
        words = ["evaluate", server.url, str(moods), "-o", str(out)]
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys; from graft.cli.main import main; sys.exit(main())", *words],
            stderr=subprocess.PIPE,
            text=True,
        )
        until = time.monotonic() + 120
        while not (out / "answers.jsonl").exists() and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert "of 48 answers are kept: run the same command again" in said and "Traceback" not in said
        server.seconds = 0.0
        assert main(words) == 0
        answers = read(out / "answers.jsonl")
        assert len(answers) == len({answer["key"] for answer in answers}) == 48


def test_the_settings_of_a_server_are_checked():
    with pytest.raises(InputError, match="endpoint_concurrency"):
        graft.evaluate("http://127.0.0.1:9", "rows.jsonl", endpoint_concurrency=0)


def test_code_that_only_the_run_names_is_not_run(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    document = json.loads((copy / "evaluation.json").read_text(encoding="utf-8"))
    ran, code = tmp_path / "ran", tmp_path / "evil.py"
    code.write_text(
        f"open({str(ran)!r}, 'w').close()\ndef exact_match(references, answers):\n    return [1] * len(answers)\n",
        encoding="utf-8",
    )
    document["metrics"]["exact_match"]["reference"] = f"{code}:exact_match"
    (copy / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
    assert recorded_evaluation(RunFolder.open(copy), None) is None and not ran.exists()
    with answering(mood_of) as server:
        assert main(["evaluate", server.url, "--run", str(copy)]) == 2
        assert "a metric from a file" in capsys.readouterr().err and not ran.exists() and not server.bodies()
        assert main(["evaluate", server.url, "--run", str(copy), "--trust_remote_code"]) == 0
        assert ran.exists()


def test_other_limits_are_said_and_keys_are_not_recorded(run, tmp_path, capsys):
    body = {"max_tokens": 3, "api_key": "s3cret", "extra": {"Authorization": ["s3cret"]}}
    with answering(mood_of) as server:
        line = ["evaluate", server.url, "--run", str(run), "--json", "-o", str(tmp_path / "out")]
        assert main([*line, "--endpoint_body", json.dumps(body)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert main(["evaluate", server.url, "--endpoint_body", '{"top_p": NaN}', "--run", str(run)]) == 2
    notes = document["endpoint"]["notes"]
    assert any(
        f"up to 3 tokens are compared with recorded ones of up to {document['max_new_tokens']}" in n for n in notes
    )
    assert document["endpoint"]["body"] == {"max_tokens": 3, "api_key": "***", "extra": {"Authorization": ["***"]}}
    assert "s3cret" not in "".join(file.read_text(encoding="utf-8") for file in (tmp_path / "out").iterdir())


def test_a_run_judged_by_perplexity_alone_is_said_before_anything_is_sent(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    graft.evaluate(copy, metrics="perplexity")
    with answering(mood_of) as server:
        assert main(["evaluate", server.url, "--run", str(copy)]) == 2
        assert "did not record" in capsys.readouterr().err and not server.bodies()


def test_every_setting_of_a_model_has_an_effect_on_a_server_or_is_refused():
    used = {"model_name_or_path", "token", "chat_template_kwargs"}
    assert {*ModelSettings.model_fields, *BackendSettings.model_fields} <= {*NO_EFFECT, *used}


def test_a_run_on_this_machine_writes_the_answers_that_it_was_judged_by(run, moods, tmp_path):
    prompts = write(tmp_path / "p.jsonl", [{"text": row["text"]} for row in read(moods)])
    labels = ",".join(sorted(MOODS))
    words = ["prepare", "--generate", str(prompts), "--generate_labels", labels, "--teacher", str(run)]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    rows = {row["text"]: row for row in read(tmp_path / "out" / "train.jsonl")}
    recorded = {line["prompt"]: line["answers"]["tuned"] for line in read(run / "predictions.jsonl")}
    asked = {prompt.split("\n\n")[-1]: answer for prompt, answer in recorded.items()}
    common = [text for text in asked if text in rows]
    assert len(common) > 5 and all(rows[text]["label"] == asked[text] for text in common)
    assert rows[common[0]]["graft_provenance"]["teacher"] == str(run)
    before = (tmp_path / "out.answers.jsonl").read_bytes()
    assert main([*words, "-o", str(tmp_path / "out"), "--overwrite"]) == 0
    assert (tmp_path / "out.answers.jsonl").read_bytes() == before
