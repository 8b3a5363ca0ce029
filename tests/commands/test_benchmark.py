"""``graft benchmark`` on a tiny run, with tasks in files."""

import json
import shutil

import pytest

from benchmark_tasks import write_tasks
from graft.cli.main import main
from graft.report.benchmark_section import benchmark_sentences
from graft.runs.evaluation_document import read_evaluation
from small_runs import tone_file, tune
from tiny_models import tiny_model_folder

pytest.importorskip("lm_eval")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    model = tiny_model_folder(folder, "llama")
    tune(model, tone_file(folder, 30), folder / "run", evaluate=True)
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run", symlinks=True)
    return tmp_path / "run"


@pytest.fixture
def tasks(tmp_path):
    return write_tasks(tmp_path / "tasks")


def evaluation(folder):
    return json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))


def test_base_and_tuned_on_the_same_rows(run, tasks, tmp_path, capsys, monkeypatch):
    before = evaluation(run)
    monkeypatch.chdir(tmp_path)  # data files are beside the task, not here
    names = f"{tasks / 'moods.yaml'},{tasks / 'names.yaml'}"
    assert main(["benchmark", str(run), "--tasks", names, "--num_fewshot", "2", "--limit", "12"]) == 0
    printed = capsys.readouterr().out
    assert "moods: 12 of 18 rows, 2 examples before each question" in printed and "acc_norm ↑" in printed
    document = evaluation(run)
    found = document.pop("benchmarks")["tasks"]
    assert document == before  # the scores of the held-out rows stay
    moods = found["moods"]
    assert moods["rows"] == 12 and moods["of"] == 18 and moods["num_fewshot"] == 2 and moods["file"] == "moods.yaml"
    assert set(moods["predictors"]) == {"base", "tuned"} and found["names"]["num_fewshot"] == 2
    lines = [json.loads(line) for line in (run / moods["samples"]).read_text(encoding="utf-8").splitlines()]
    assert [line["row"] for line in lines] == list(range(12))
    for model, figures in moods["predictors"].items():
        right = [line["models"][model]["metrics"]["acc"] for line in lines]
        assert figures["acc"]["value"] == pytest.approx(sum(right) / 12, abs=1e-6)
        assert figures["acc"]["low"] <= figures["acc"]["value"] <= figures["acc"]["high"]
    (change,) = [each for each in moods["differences"] if each["metric"] == "acc"]
    assert (change["from"], change["to"]) == ("base", "tuned") and 0 < change["p"] <= 1
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'id="benchmarks"' in page and "moods" in page and "2 examples before each question" in page


def test_another_task_and_another_evaluation_keep_what_was_measured(run, tasks):
    assert main(["benchmark", str(run), "--tasks", str(tasks / "moods.yaml")]) == 0
    assert main(["benchmark", str(run), "--tasks", str(tasks / "plain.yaml")]) == 0
    assert main(["evaluate", str(run)]) == 0
    assert set(evaluation(run)["benchmarks"]["tasks"]) == {"moods", "plain"}


def test_a_further_model_is_asked_the_same_rows(run, trained, tasks, tmp_path, capsys):
    base = str(trained.parent / "tiny-llama")
    words = ["benchmark", str(run), base, "--tasks", str(tasks / "moods.yaml"), "-o", str(tmp_path / "out"), "--json"]
    assert main(words) == 0
    moods = json.loads(capsys.readouterr().out)["tasks"]["moods"]
    assert list(moods["predictors"]) == ["base", "tuned", "tiny-llama"]
    assert moods["predictors"]["tiny-llama"] == moods["predictors"]["base"]
    pairs = [(each["from"], each["to"]) for each in moods["differences"] if each["metric"] == "acc"]
    assert pairs == [("base", "tuned"), ("tuned", "tiny-llama")]
    assert evaluation(tmp_path / "out")["benchmarks"]["tasks"]["moods"] == moods
    assert "benchmarks" not in evaluation(run)


def test_everything_wrong_is_said_at_once(run, tasks, capsys):
    moods = (tasks / "moods.yaml").read_text(encoding="utf-8")
    (tasks / "code.yaml").write_text(moods + "process_docs: !function os.system\n", encoding="utf-8")
    (tasks / "over.yaml").write_text("include: code.yaml\ntask: over\n", encoding="utf-8")
    (tasks / "gone.yaml").write_text(moods.replace("rows.jsonl", "gone.jsonl"), encoding="utf-8")
    (tasks / "far.yaml").write_text(moods.replace("rows.jsonl", '"https://example.com/a"'), encoding="utf-8")
    wrong = moods.replace("metric: acc,", "metric: acuracy,").replace("aggregation: mean", "aggregation: meen", 1)
    (tasks / "wrong.yaml").write_text(wrong, encoding="utf-8")
    (tasks / "list.yaml").write_text("- a\n", encoding="utf-8")
    names = [str(tasks / f"{name}.yaml") for name in ("code", "over", "gone", "far", "wrong", "list", "none")]
    assert main(["benchmark", str(run), "--tasks", ",".join(names)]) == 2
    said = capsys.readouterr().err
    assert said.count("'process_docs' names code to run, 'os.system'") == 2 and "--trust_remote_code" in said
    assert "there is no data file 'gone.jsonl'" in said and "is an address" in said and "this is no task" in said
    assert "no metric 'acuracy'" in said and "did you mean mean?" in said
    assert "none.yaml: this file cannot be read" in said and "benchmarks" not in evaluation(run)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("doc_to_target: label", "doc_to_target: lable", "is 'lable', which is none of the choices"),
        ("{{text}}", "{{txt}}", "names what its rows do not have: 'txt' is undefined"),
        ("test_split: test", "test_split: valid", "'test_split' is 'valid', and data files are named for: test, train"),
        ("multiple_choice", "multiple_choise", "invalid output_type 'multiple_choise'"),
        ("rows.jsonl", "empty.jsonl", "this task has no rows"),
    ],
)
def test_a_task_that_could_only_give_zeros_is_refused(old, new, said, run, tasks, capsys):
    (tasks / "empty.jsonl").touch()
    moods = (tasks / "moods.yaml").read_text(encoding="utf-8")
    (tasks / "moods.yaml").write_text(moods.replace(old, new), encoding="utf-8")
    assert main(["benchmark", str(run), "--tasks", str(tasks / "moods.yaml")]) == 2
    assert said in capsys.readouterr().err


def test_templates_of_tasks_run_no_code(run, tasks, capsys):
    moods = (tasks / "moods.yaml").read_text(encoding="utf-8")
    escape = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    (tasks / "moods.yaml").write_text(moods.replace("{{text}}", escape), encoding="utf-8")
    assert main(["benchmark", str(run), "--tasks", str(tasks / "moods.yaml")]) == 2
    assert "unsafe" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "no tasks are given"),
        (["--tasks", "moods.yaml", "--fewshot_as_multiturn"], "--fewshot_as_multiturn needs --apply_chat_template"),
        (["--tasks", "moods.yaml", "--seed", "1,2"], "--seed takes one number, or four"),
        (["--tasks", "moods.yaml", "--limit", "2.5"], "--limit is 2.5"),
        (["--tasks", "moods.yaml", "--num_fewshots", "2"], "did you mean num_fewshot?"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(options, said, run, capsys):
    assert main(["benchmark", str(run), *options]) == 2
    assert said in capsys.readouterr().err


def test_nothing_connects_to_a_server(run, tasks, monkeypatch):
    import socket

    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: asked.append(address) or [])
    assert main(["benchmark", str(run), "--tasks", f"{tasks / 'moods.yaml'},{tasks / 'names.yaml'}"]) == 0
    assert not asked


def test_a_group_has_the_score_of_all_rows(run, tasks, capsys):
    moods = (tasks / "moods.yaml").read_text(encoding="utf-8").replace("task: moods\n", "")
    part = "\n".join(f"    {line}" for line in moods.splitlines())
    one = f"  - task: one\n{part}\n"
    two = one.replace("task: one", "task: two").replace("test: rows.jsonl", "test: shots.jsonl")
    listed = "aggregate_metric_list: [{metric: acc, weight_by_size: true}]\n"
    (tasks / "both.yaml").write_text(f"group: both\ntask:\n{one}{two}{listed}", encoding="utf-8")
    assert main(["benchmark", str(run), "--tasks", str(tasks / "both.yaml"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["tasks"]
    assert list(found) == ["both", "both::one", "both::two"] and found["both"]["members"] == ["both::one", "both::two"]
    for model, figures in found["both"]["predictors"].items():
        parts = [found[name]["predictors"][model]["acc"] for name in ("both::one", "both::two")]
        mean = sum(part["value"] * part["n"] for part in parts) / 24
        assert figures["acc"]["value"] == pytest.approx(mean, abs=1e-5) and figures["acc"]["n"] == 24
        assert figures["acc"]["low"] <= figures["acc"]["value"] <= figures["acc"]["high"]
    assert (run / "benchmarks" / "both__one.jsonl").is_file()


def test_names_of_the_harness(run, capsys, monkeypatch):
    from huggingface_hub import constants

    assert main(["benchmark", "--list", "arc_eas"]) == 0
    assert "arc_easy" in capsys.readouterr().out.splitlines()
    assert main(["benchmark", str(run), "--tasks", "arc_esy,hellaswagg,mmlu_*_nothing"]) == 2
    said = capsys.readouterr().err
    assert "did you mean arc_easy?" in said and "did you mean hellaswag?" in said and "mmlu_*_nothing" in said
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # as HF_HUB_OFFLINE=1, so that nothing is tried again
    monkeypatch.setenv("HF_DATASETS_CACHE", "nowhere")
    if main(["benchmark", str(run), "--tasks", "arc_easy", "--limit", "2"]) == 2:  # 0 where the data set is here
        said = capsys.readouterr().err
        assert "allenai/ai2_arc (ARC-Easy) is not on this machine" in said
        assert "datasets.load_dataset('allenai/ai2_arc', 'ARC-Easy')" in said


def test_without_the_harness_the_extra_is_named(run, tasks, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lm_eval", None)
    assert main(["benchmark", str(run), "--tasks", str(tasks / "moods.yaml")]) == 2
    assert 'pip install "graft-slm[benchmark]"' in capsys.readouterr().err


def test_a_served_model_is_asked_beside_the_run(run, tasks, capsys):
    from answering_server import answering

    with answering(lambda text: "bad") as server:
        words = ["benchmark", str(run), "--endpoint", server.url, "--tasks", str(tasks / "names.yaml"), "--json"]
        assert main([*words, "--gen_kwargs", "until=null"]) == 0
        names = json.loads(capsys.readouterr().out)["tasks"]["names"]
        assert names["predictors"]["small-model"]["exact_match"]["value"] == 0.5
        assert [each["to"] for each in names["differences"]] == ["tuned", "small-model"]
        assert main(["benchmark", "--endpoint", server.url, "--tasks", str(tasks / "moods.yaml")]) == 2
        assert "no likelihoods of given texts" in capsys.readouterr().err


def test_a_pass_of_a_workflow_asks_tasks(run, tasks, tmp_path, capsys):
    flow = tmp_path / "flow.yaml"
    settings = {"type": "benchmark", "tasks": str(tasks / "moods.yaml"), "limit": 6, "model_name_or_path": str(run)}
    passes = {"asked": settings}
    flow.write_text(json.dumps({"passes": passes, "output_path": str(tmp_path / "out")}), encoding="utf-8")
    assert main(["run", str(flow)]) == 0
    assert evaluation(tmp_path / "out")["benchmarks"]["tasks"]["moods"]["rows"] == 6
    record = read_evaluation(tmp_path / "out").benchmarks
    assert [sentence[:11] for sentence in benchmark_sentences(record)] == ["moods: acc "]
    settings.pop("tasks")
    flow.write_text(json.dumps({"passes": passes, "output_path": str(tmp_path / "other")}), encoding="utf-8")
    assert main(["run", str(flow)]) == 2
    assert "type: speed measures tokens per second" in capsys.readouterr().err


def test_what_was_measured_is_shown(run, tasks, capsys):
    assert main(["benchmark", str(run), "--tasks", str(tasks / "moods.yaml")]) == 0
    capsys.readouterr()
    assert main(["show", str(run)]) == 0
    assert "moods: 18 rows" in capsys.readouterr().out
    assert main(["show", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"]["moods"]["rows"] == 18
