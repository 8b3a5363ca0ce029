import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.cli.main import main
from graft.config import interpolated
from graft.config.interpolation import escaped
from graft.documents import parse_yaml, read_yaml
from graft.errors import InputError

FLOW = """\
model: a/b
data_files: ${env:GRAFT_TEST_ROWS,rows.jsonl}
seed: 7
passes:
  first: {type: LoRA, r: 16, lora_alpha: "${passes.first.r}", task_name: "r${passes.first.r}-${seed}"}
  second: {type: LoRA, config: "${passes.first_settings}"}
"""


def resolved(text: str):
    return interpolated(parse_yaml(text, "w.yaml"), "w.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 3\nb: ${a}", 3),
        ("a: 1e-4\nb: ${a}", 1e-4),
        ("a: [1, x]\nb: ${a}", [1, "x"]),
        ("a: {c: [1, {d: 5}]}\nb: ${a.c.1.d}", 5),
        ("a: {c: [1, {d: 5}]}\nb: '${a.c[1].d}'", 5),
        ("a: {c: 5}\nb: x-${a.c}-${a.c}", "x-5-5"),
        ("a: true\nb: is ${a}", "is true"),
        ("b: ${c}\nc: ${d}\nd: 4", 4),
        ("b: {e: '${d.f}'}\nd: {f: 1}", {"e": 1}),
        ("a-b: 4\nb: ${a_b}", 4),
        ("b: costs $${price} and $5", "costs ${price} and $5"),
        ("b: $${x}", "${x}"),
        ("b: ${env:GRAFT_TEST_A}", "1e-4"),
        ("b: ${oc.env:GRAFT_TEST_A}/x", "1e-4/x"),
        ("b: ${env:GRAFT_TEST_NONE,4}", "4"),
        ("b: '${env:GRAFT_TEST_NONE, a b}'", "a b"),
        ("b: ${env:GRAFT_TEST_NONE,}", ""),
        ("b: ${oc.env:GRAFT_TEST_NONE,null}", None),
    ],
)
def test_what_a_reference_means(text, value, monkeypatch):
    monkeypatch.setenv("GRAFT_TEST_A", "1e-4")
    found = resolved(text)["b"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "passes: {lora: {r: 8}}\nb: ${passes.lora.rr}",
            "w.yaml:2:4: ${passes.lora.rr} refers to nothing in this file\n    did you mean passes.lora.r?",
        ),
        ("b: ${price}", "w.yaml:1:4: ${price} refers to nothing in this file\n    write $${ for the characters ${"),
        ("a: ${b}\nb: ${a}", "${b} refers to itself: b → a → b"),
        ("a: x${a}", "w.yaml:1:4: ${a} refers to itself: a → a"),
        ("a: {b: '${a}'}", "w.yaml:1:8: ${a} refers to itself: a.b → a"),
        ("a: {b: 1}\nc: x${a}", "w.yaml:2:4: ${a} is a section, which cannot be part of a text"),
        ("b: ${env:GRAFT_TEST_NONE}", "the environment has no variable 'GRAFT_TEST_NONE'"),
        ("b: ${env:GRAFT_TEST_SETT}", "did you mean GRAFT_TEST_SET?"),
        ("b: x ${a", "w.yaml:1:4: '${a' is not closed"),
        ("b: ${}", "${} names nothing"),
    ],
)
def test_what_refers_to_nothing_is_said_with_its_place(text, said, monkeypatch):
    monkeypatch.setenv("GRAFT_TEST_SET", "x")
    with pytest.raises(InputError) as caught:
        resolved(text)
    assert said in str(caught.value)


def test_everything_is_said_at_once():
    with pytest.raises(InputError) as caught:
        resolved("a: ${x}\nb: {c: ['${y}']}\nd: ${env:GRAFT_TEST_NONE}\n")
    assert [problem.where for problem in caught.value.problems] == ["w.yaml:1:4", "w.yaml:2:8", "w.yaml:3:4"]


def test_references_that_grow_without_end_are_refused():
    lines = [f"a{n}: ${{a{n - 1}}}${{a{n - 1}}}" for n in range(1, 40)]
    with pytest.raises(InputError, match="more than 1,000,000 characters"):
        resolved("a0: xxxxxxxxxx\n" + "\n".join(lines))


_TEXT = st.text(alphabet="ab${}.:,env ", max_size=12)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abc"), st.one_of(_TEXT, st.dictionaries(st.sampled_from("ab"), _TEXT)), max_size=3)
)
def test_what_is_escaped_is_read_as_it_was(document):
    assert interpolated({name: escaped(value) for name, value in document.items()}, "w.yaml") == document
    try:
        found = interpolated(document, "w.yaml")
    except InputError as error:
        found = {"problems": error.problems}
    assert found or not document


def test_a_workflow_with_references(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("flow.yaml").write_text(FLOW.replace('config: "${passes.first_settings}"', "r: 4"), encoding="utf-8")
    assert main(["run", "flow.yaml", "--dry_run", "--json"]) == 0
    first, second = (each["settings"] for each in json.loads(capsys.readouterr().out))
    assert (first["lora_alpha"], first["task_name"], first["data_files"]) == (16, "r16-7", ["rows.jsonl"])
    assert second["lora_r"] == 4
    Path("flow.yaml").write_text(FLOW, encoding="utf-8")
    assert main(["run", "flow.yaml", "--dry_run"]) == 2
    assert "flow.yaml:6:32: ${passes.first_settings} refers to nothing" in capsys.readouterr().err
    monkeypatch.setenv("GRAFT_TEST_ROWS", "own.py:f")
    Path("flow.yaml").write_text("loss: ${env:GRAFT_TEST_ROWS}\n", encoding="utf-8")
    assert main(["run", "flow.yaml", "--dry_run"]) == 2  # consent is asked for what stands there in the end
    assert "names code to run, 'own.py:f'" in capsys.readouterr().err


def test_overrides_of_sections(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = "data_configs:\n  - {name: main, load_dataset_config: {data_files: a.jsonl}}\n" + FLOW.replace(
        'config: "${passes.first_settings}"', "config: {lora_r: 4}"
    ).replace("data_files: ${env:GRAFT_TEST_ROWS,rows.jsonl}\n", "")
    Path("flow.yaml").write_text(text, encoding="utf-8")

    def run(*words):
        code = main(["run", "flow.yaml", *words, "--dry_run", "--json"])
        said = capsys.readouterr()
        return [each["settings"] for each in json.loads(said.out)] if code == 0 else said.err

    first, second = run("passes.first.r=8", "passes.second.r=2", "passes.second.learning_rate=3e-4")
    assert (first["lora_r"], first["lora_alpha"], first["task_name"]) == (8, 8, "r8-7")
    assert (second["lora_r"], second["learning_rate"]) == (2, 3e-4)
    first, second = run(
        "lr=1e-3",
        "data_configs.main.load_dataset_config.data_files=b.jsonl",
        "--passes.first.target_modules",
        "[q_proj, v_proj]",
    )
    assert first["learning_rate"] == second["learning_rate"] == 1e-3
    assert first["target_modules"] == ["q_proj", "v_proj"] and first["data_files"] == ["b.jsonl"]
    first, _ = run(
        "data_configs.0.load_dataset_config.data_files=c.jsonl", "training_config.weight_decay=0.1", "seed=3"
    )
    assert (first["data_files"], first["weight_decay"], first["seed"]) == (["c.jsonl"], 0.1, 3)
    (first, second) = run("data_files=x.jsonl")
    assert first["data_files"] == second["data_files"] == ["x.jsonl"]

    first, _ = run("passes.first.task_name=s${seed}", "seed=9")
    assert first["task_name"] == "s9" and run("passes.first.task_name=s${seed}", "--seed", "8")[0]["task_name"] == "s8"
    said = run("passes.frist.r=8", "data_configs.mian.name=x", "nothing", "pases.first.r=1")
    assert "not understood: nothing" in said
    said = run("passes.frist.r=8", "data_configs.mian.name=x", "pases.first.r=1")
    assert "this file has no passes.frist\n    did you mean passes.first?" in said
    assert "this file has no data_configs.mian" in said and "this file has no pases" in said
    said = run("passes.first.lora_alhpa=8", "passes.second.r=-1")
    assert "error: passes.first.lora_alhpa=8: unknown setting lora_alhpa\n    did you mean lora_alpha?" in said
    assert "error: passes.second.r=-1: r must be a whole number above 0, not -1" in said
    assert "lr is given twice" in run("lr=1e-3", "--lr", "2e-3")


def test_secrets_of_the_environment_are_written_nowhere(tiny_llama, tone, tmp_path, monkeypatch, capsys):
    secret, out = 'pass"word-of-nobody', tmp_path / "out"
    monkeypatch.setenv("GRAFT_TEST_PASSWORD", secret)
    path = tmp_path / "s.yaml"
    text = "task_name: 'for ${env:GRAFT_TEST_PASSWORD}'\nsystem_prompt: 'It costs $${price}.'\n"
    path.write_text(f"{text}evaluate: false\nmax_steps: 2\n", encoding="utf-8")
    words = ["--config", str(path), "--model_name_or_path", str(tiny_llama), "--data_files", str(tone)]
    assert main(["run", *words, "--dry_run"]) == 0 and main(["run", *words, "--dry_run", "--json"]) == 0
    assert main(["finetune", *words, "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert secret not in said.out + said.err and secret.replace('"', '\\"') not in said.out
    files = [
        file
        for file in out.rglob("*")
        if file.is_file() and file.suffix in {".json", ".yaml", ".html", ".md", ".jsonl"}
    ]
    assert len(files) > 5
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert "word-of-nobody" not in text, file
    recorded = read_yaml(out / "config.yaml")
    assert (
        recorded["task_name"] == "for ${env:GRAFT_TEST_PASSWORD}" and recorded["system_prompt"] == "It costs $${price}."
    )
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["task_name"] == "for ***"
    again = tmp_path / "again"
    assert main(["run", "--config", str(out / "config.yaml"), "--output_path", str(again)]) == 0
    name = "adapter/adapter_model.safetensors"
    assert (out / name).read_bytes() == (again / name).read_bytes()
    assert main(["finetune", "--resume", "-o", str(out), "--max_steps", "3"]) == 0


def test_a_run_recorded_before_references_is_resumed(tiny_llama, tone, tmp_path):
    out = tmp_path / "out"
    quick = ["--evaluate", "false", "--max_steps", "2", "--system_prompt", "It costs ${price}."]
    assert main(["finetune", str(tiny_llama), str(tone), "-o", str(out), *quick]) == 0
    config = out / "config.yaml"
    text = config.read_text(encoding="utf-8")
    assert "$${price}" in text
    config.write_text(text.replace("$${price}", "${price}"), encoding="utf-8")  # as graft 0.1 wrote it
    assert main(["finetune", "--resume", "-o", str(out), "--max_steps", "3"]) == 0
