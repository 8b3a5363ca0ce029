"""The commands around a run, by the command line: evaluate, chat, show, demo, and a dry run."""

import io
import json
import sys

import pytest
import yaml

from graft.cli.main import main
from graft.commands.finetune import finetune

SECRET = "hf_verysecrettoken"


@pytest.fixture(scope="module")
def run(tiny_llama, tmp_path_factory):
    """A run of four steps on two classes."""
    folder = tmp_path_factory.mktemp("run")
    rows = [
        {"text": f"{word} day {n}", "label": label}
        for n in range(12)
        for word, label in (("fine", "good"), ("wet", "bad"))
    ]
    data = folder / "tone.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    given = {"model_name_or_path": str(tiny_llama), "data_files": str(data), "output_path": str(folder / "run")}
    secret = {"token": SECRET, "training_arguments": {"max_grad_norm": 0.5}}
    return finetune({**given, **secret, "max_steps": 4, "eval_steps": 2, "bootstrap_samples": 100})


@pytest.fixture
def graft(capsys):
    """Runs a command; its exit code, stdout and stderr."""

    def call(*words):
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def rows_file(tmp_path):
    path = tmp_path / "test.jsonl"
    rows = [{"text": f"fine thing {n}", "label": ("good", "bad")[n % 2]} for n in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_tokens_are_written_nowhere(run):
    for path in run.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.suffix != ".bin":
            assert SECRET.encode() not in path.read_bytes(), path
    recorded = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["settings"]
    assert recorded["training_arguments"] == {"max_grad_norm": 0.5} and "token" not in recorded


def test_evaluate_a_run_on_other_rows_into_another_folder(graft, run, rows_file, tmp_path):
    before = (run / "evaluation.json").read_bytes()
    code, out, _ = graft("evaluate", run, "--data_files", rows_file, "--output_path", tmp_path / "out", "--json")
    document = json.loads(out)
    assert code == 0 and document["data"]["path"] == str(rows_file) and document["data"]["rows"] == 6
    assert set(document["predictors"]) == {"base", "tuned"} and document["labels"] == ["bad", "good"]
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8")) == document
    lines = (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6 and "Classify the text as one of: bad, good" in json.loads(lines[0])["prompt"]
    assert (run / "evaluation.json").read_bytes() == before


@pytest.mark.parametrize(
    ("option", "near"), [("--eval_data_files", "data_files"), ("--eval_share", ""), ("--evaluate", "")]
)
def test_evaluate_takes_no_setting_that_only_training_uses(graft, run, rows_file, option, near):
    before = (run / "evaluation.json").read_bytes()
    code, out, err = graft("evaluate", run, option, rows_file)
    assert code == 2 and out == "" and f"unknown option {option}" in err and near in err
    assert (run / "evaluation.json").read_bytes() == before


def test_evaluate_on_some_of_the_rows(graft, run, rows_file, tmp_path):
    words = ("evaluate", run, "--data_files", rows_file, "--max_eval_samples", 4, "--json", "-o", tmp_path / "out")
    document = json.loads(graft(*words)[1])
    assert document["data"]["rows"] == 4 and document["predictors"]["base"]["accuracy"]["n"] == 4
    lines = (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(line)["reference"] for line in lines) == ["bad", "bad", "good", "good"]


def test_evaluate_prints_a_table_and_a_verdict(graft, run, tmp_path):
    code, out, _ = graft("evaluate", run, "--metrics", "accuracy", "-o", tmp_path / "out")
    assert code == 0 and "accuracy" in out and "tuned" in out and "n = " in out and "perplexity" not in out
    (line,) = [line for line in out.splitlines() if line.startswith("accuracy")]
    assert " to " in line and "p = " in line  # not wrapped, and without a frame


def test_evaluates_options_are_checked_like_all_others(graft, run, rows_file, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("metric_type: accuracy\nbootstrap_sample: 5\n", encoding="utf-8")
    words = ("--config", config, "--data_file", rows_file, "--bootstrap_samples", "7", "--metrics", "bleu")
    code, out, err = graft("evaluate", run, *words)
    assert code == 2 and out == ""
    assert "unknown option --data_file" in err and "did you mean data_files?" in err
    assert "c.yaml:2:1: unknown setting bootstrap_sample" in err
    assert "--bootstrap_samples must be a whole number of at least 100, not '7'" in err


def test_evaluate_names_metrics_that_are_not_there(graft, run, tmp_path):
    code, _, err = graft("evaluate", run, "--metrics", "acuracy,bleuu", "-o", tmp_path / "out")
    assert code == 2 and "did you mean accuracy?" in err and "did you mean bleu?" in err
    assert not (tmp_path / "out").exists()


def test_the_command_line_wins_over_the_file_whatever_the_name(graft, run, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("metric_type: perplexity\nbootstrap_samples: 100\n", encoding="utf-8")
    code, out, _ = graft("evaluate", run, "--config", config, "--metrics", "accuracy", "--json", "-o", tmp_path / "out")
    assert code == 0 and list(json.loads(out)["predictors"]["base"]) == ["accuracy"]


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["evaluate"], "no run or model is given"),
        (["chat"], "give one run or model"),
        (["show"], "give a run, bundle, search, model or prepared data set, or several runs"),
        (["show", "a", "b"], "error: a: no such folder\nerror: b: no such folder"),
        (["chat", "a", "b"], "give one run or model"),
    ],
)
def test_which_run_is_asked(graft, words, asked):
    code, _, err = graft(*words)
    assert code == 2 and asked in err


def test_chat_from_a_pipe(graft, run, monkeypatch):
    monkeypatch.setattr(
        sys, "stdin", io.StringIO("fine day\n/both\nwet day\n/base\n\n/nobody\n/new\n/quit\nnever read\n")
    )
    code, out, err = graft("chat", run, "--max_new_tokens", 4)
    assert code == 0
    assert "(tuned, base)" in err and "both models answer from now on" in err and "base answers from now on" in err
    assert "unknown command /nobody; commands: /tuned, /base, /new, /quit" in err
    lines = out.splitlines()
    assert sum(line.startswith("tuned: ") for line in lines) == sum(line.startswith("base: ") for line in lines) == 1


def test_chat_ends_with_the_pipe_and_answers_once(graft, run, tiny_llama, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert graft("chat", tiny_llama)[0] == 0
    code, out, _ = graft("chat", run, "--prompt", "fine day", "--max_new_tokens", "3", "--json")
    assert code == 0 and set(json.loads(out)) == {"model", "answer"}
    code, out, err = graft("chat", run, "--max_new_tokens", "many", "--promt", "x")
    assert code == 2 and "--max_new_tokens must be a whole number above 0, not 'many'" in err
    assert "did you mean prompt?" in err


def test_show_a_run_a_model_and_neither(graft, run, tiny_llama, tmp_path):
    code, out, _ = graft("show", run)
    assert code == 0 and "finished" in out and "accuracy" in out.lower()
    assert json.loads(graft("show", run, "--json")[1])["status"] == "finished"
    code, out, _ = graft("show", tiny_llama, "--json")
    shown = json.loads(out)
    assert code == 0 and shown["architecture"] == "llama" and shown["context_tokens"] == 512
    from transformers import AutoModelForCausalLM

    assert shown["parameters"] == AutoModelForCausalLM.from_pretrained(tiny_llama).num_parameters()
    assert "llama" in graft("show", tiny_llama)[1]
    code, _, err = graft("show", tmp_path)
    assert code == 2 and "not a run, a bundle, a search, a model or a prepared data set" in err
    code, _, err = graft("show", run, "--jsn")
    assert code == 2 and "unknown option --jsn" in err


def test_a_dry_run_shows_the_rows_as_trained_and_writes_nothing(graft, tiny_llama, rows_file, tmp_path):
    words = ("finetune", tiny_llama, rows_file, "-o", tmp_path / "out", "--dry_run", "--max_steps", 3)
    code, out, _ = graft(*words)
    assert code == 0 and not (tmp_path / "out").exists()
    assert "labels = bad, good: 2 different answers" in out and "learning_rate = 0.0002: " in out
    assert "⟦good<|im_end|>⟧" in out and "steps      3" in out and "Nothing was trained." in out
    document = json.loads(graft(*words, "--json")[1])
    assert document["rows"] == {"train": 4, "held_out": 2} and 0 < document["tokens"]["trained_share"] < 1
    assert document["first_rows"][0]["origin"].startswith(f"{rows_file}:")


def test_a_data_folder_is_data_too(graft, tiny_llama, rows_file, tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    rows_file.rename(folder / "train.jsonl")
    code, out, _ = graft("finetune", tiny_llama, folder, "--dry_run", "--json", "-o", tmp_path / "out")
    assert code == 0 and json.loads(out)["rows"]["train"] == 4


def test_a_run_by_the_command_line_leaves_one_json_document(graft, tiny_llama, rows_file, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"lr": 0.01, "max_steps": 50, "bootstrap_samples": 100}), encoding="utf-8")
    words = ("--config", config, "--max-steps=2", "--learning_rate", "1e-3", "--json", "-o", tmp_path / "out")
    code, out, _ = graft("finetune", tiny_llama, rows_file, *words)
    document = json.loads(out)
    assert code == 0 and document["run"] == str(tmp_path / "out")
    assert document["manifest"]["settings"]["learning_rate"] == 1e-3 and document["manifest"]["training"]["steps"] == 2
    assert set(document["evaluation"]["predictors"]) == {"base", "tuned"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max_steps", "3"], "graft demo does not accept --max_steps"),
        (["somewhere"], "graft demo does not accept somewhere"),
        (["-o"], "--output_path accepts one folder"),
    ],
)
def test_the_demo_takes_no_options_but_its_own(graft, words, said):
    code, out, err = graft("demo", *words)
    assert code == 2 and said in err and out == ""
