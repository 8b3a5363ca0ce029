"""``graft benchmark`` on a tiny run, with tasks in files."""

import json
import shutil

import pytest

from benchmark_tasks import write_tasks
from graft.cli.main import main
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
    (tasks / "list.yaml").write_text("- a\n", encoding="utf-8")
    names = [str(tasks / f"{name}.yaml") for name in ("code", "over", "gone", "far", "list", "none")]
    assert main(["benchmark", str(run), "--tasks", ",".join(names)]) == 2
    said = capsys.readouterr().err
    assert said.count("'process_docs' names code to run, 'os.system'") == 2 and "--trust_remote_code" in said
    assert "there is no data file 'gone.jsonl'" in said and "is an address" in said and "this is no task" in said
    assert "none.yaml: this file cannot be read" in said and "benchmarks" not in evaluation(run)


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
