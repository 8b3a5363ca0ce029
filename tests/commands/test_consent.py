"""Code that a file names runs with ``--trust_remote_code`` on the command line alone, in a dry run as in any other."""

import json

import pytest

from graft.cli.main import main
from graft.commands.finetune import plan
from graft.commands.passes import PASSES
from graft.data.checks import CHECKS
from graft.data.columns import COLUMN_MAPPINGS
from graft.data.steps import STEPS
from graft.errors import InputError
from graft.evaluation.metrics import METRICS
from graft.export.target import TARGETS
from graft.methods import METHODS
from graft.planning.settings import finetune_settings
from graft.registry import only_consented
from graft.runs.trust import check_file, consent_words, is_typed, typed_code
from graft.tasks import TASKS
from graft.training.losses import LOSSES


@pytest.fixture
def planted(tmp_path):
    """A file of code that leaves a trace when it is imported."""
    code = tmp_path / "planted.py"
    trace = tmp_path / "trace"
    code.write_text(f"open({str(trace)!r}, 'w').close()\ndef f(*given): return 0\nclass C: pass\n", encoding="utf-8")
    return code, trace


PLACES = [
    {"loss": "{}:f"},
    {"method": "{}:C"},
    {"finetuning-type": "{}:C"},
    {"metrics": "accuracy,{}:f"},
    {"metric_type": ["accuracy", "{}:f"]},
    {"task": "{}:C"},
    {"column_mapping": "{}:f"},
    {"metric_for_best_model": "{}:f"},
    {"training_arguments": {"metric_for_best_model": "{}:f"}},
    {"passes": {"a": {"type": "{}:C"}}},
    {"passes": {"a": {"type": "LoRA", "config": {"loss": "{}:f"}}}},
    {"training_config": {"loss": "{}:f"}, "passes": {"a": {"type": "LoRA"}}},
]


@pytest.mark.parametrize("consent", [{}, {"trust_remote_code": True}])
@pytest.mark.parametrize(
    "command", [["finetune", "--config"], ["finetune", "--dry_run", "--config"], ["run", "--config"]]
)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place)[:40])
def test_no_file_consents_to_code(place, command, consent, planted, tmp_path, capsys):
    code, trace = planted
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({**place, **consent}).replace("{}", str(code)), encoding="utf-8")
    assert main([*command, str(config)]) == 2
    said = capsys.readouterr().err
    assert str(config) in said and "planted.py:" in said and "--trust_remote_code" in said
    assert not trace.exists()


@pytest.mark.parametrize("command", ["evaluate", "auto-opt", "chat"])
def test_no_file_of_another_command_does(command, planted, tmp_path, capsys):
    code, trace = planted
    config = tmp_path / "c.yaml"
    config.write_text(f"metrics: {code}:f\nformat: {code}:f\ntask: {code}:C\n", encoding="utf-8")
    assert main([command, str(tmp_path), "--config", str(config)]) == 2
    assert "planted.py:" in capsys.readouterr().err and not trace.exists()


@pytest.mark.parametrize(("command", "setting"), [("doctor", "checks"), ("prepare", "steps")])
def test_no_file_consents_to_a_check_or_a_step(command, setting, planted, tmp_path, capsys):
    code, trace = planted
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 5, encoding="utf-8")
    (tmp_path / "c.yaml").write_text(json.dumps({setting: f"{code}:C"}), encoding="utf-8")
    words = [command, str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out"), "--config", str(tmp_path / "c.yaml")]
    assert main(words) == 2
    assert "planted.py:" in capsys.readouterr().err and not trace.exists()


def test_trust_in_a_file_is_no_consent_to_the_code_of_a_model(tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text(
        "model: m\ninput_model: {type: HfModel, load_kwargs: {trust_remote_code: true}}\n", encoding="utf-8"
    )
    for command in ("finetune", "run"):
        assert main([command, "--config", str(config)]) == 2
        assert f"{config}: trust_remote_code in a file does not count as consent" in capsys.readouterr().err


@pytest.mark.parametrize("trust", [1.0, " true ", "on ", "True", [True], {"a": 1}, "junk", 2])
@pytest.mark.parametrize(
    "place",
    [
        {"trust_remote_code": "{}"},
        {"trust-remote-code": "{}"},
        {"training_arguments": {"trust_remote_code": "{}"}},
        {"input_model": {"type": "HfModel", "load_kwargs": {"trust_remote_code": "{}"}}},
        {"data_configs": [{"load_dataset_config": {"params": {"trust_remote_code": "{}"}}}]},
        {"passes": {"a": {"type": "LoRA", "config": {"training_args": {"trust_remote_code": "{}"}}}}},
    ],
    ids=lambda place: str(place)[:40],
)
def test_no_spelling_of_trust_in_a_file_counts(place, trust, tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"model": "m", **place}).replace('"{}"', json.dumps(trust)), encoding="utf-8")
    assert main(["evaluate", "--config", str(config)]) == 2
    assert f"{config}: trust_remote_code in a file does not count" in capsys.readouterr().err


def test_trust_is_taken_from_what_is_typed_alone():
    nested = {"a": [{"trust-remote-code": 1.0, "b": 1}], "trust_remote_code": True, "c": 2}
    assert check_file(nested, "c.yaml", True) == ({"a": [{"b": 1}], "c": 2}, [])
    for said in (False, None, "no", "false", 0):
        assert check_file({"a": {"trust_remote_code": said}}, "c.yaml", False) == ({"a": {}}, [])
    for typed in ("false", "0", "off", "junk", " true ", ["true", "true"]):
        assert not is_typed({"trust_remote_code": typed})
    assert is_typed({"trust_remote_code": True}) and is_typed({"trust_remote_code": "Yes"})


@pytest.mark.parametrize("consent", [[], ["--trust_remote_code"]])
@pytest.mark.parametrize("command", [["finetune"], ["finetune", "--dry_run"], ["run"], ["run", "--dry_run"]])
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"passes": {"{}:C": {}}}, "has no type"),
        ({"passes": {"{}:C": {"type": None}}}, "has no type"),
        ({"passes": {"a": {"type": {"{}": {"x": "y:C"}}}}}, "passes.a.type must be text"),
        ({"passes": {"a": {"type": 5}}}, "passes.a.type must be text, not 5"),
    ],
    ids=["name", "name of nothing", "mapping", "number"],
)
def test_the_name_of_a_pass_is_no_code(place, said, command, consent, planted, tmp_path, capsys):
    code, trace = planted
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps(place).replace("{}", str(code)), encoding="utf-8")
    assert main([*command, *consent, "--config", str(config)]) == 2
    assert said in capsys.readouterr().err and not trace.exists()


def test_a_registry_loads_only_what_was_typed(planted, tmp_path, monkeypatch):
    code, trace = planted
    monkeypatch.chdir(tmp_path)
    with only_consented([]):
        for registry in (METRICS, METHODS, LOSSES, TASKS, TARGETS, PASSES, COLUMN_MAPPINGS, CHECKS, STEPS):
            for reference in (f"{code}:f", "planted.py:f", "planted:f"):
                with pytest.raises(InputError, match="--trust_remote_code"):
                    registry.get(reference)
    assert not trace.exists()
    with only_consented(typed_code(["m"], {"metrics": ["x.py:X", "accuracy, planted.py:f"]})):
        METRICS.get(str(code) + ":f")
        with pytest.raises(InputError, match="--trust_remote_code"):
            PASSES.get(f"{code}:C")
    with only_consented([]), pytest.raises(InputError, match="--trust_remote_code"):
        METRICS.get(str(code) + ":f")  # although it is loaded
    with only_consented(None), pytest.raises(InputError, match="is not a pass: it lacks run"):
        PASSES.get(f"{code}:C")


def test_a_command_loads_no_code_that_slips_through_the_file(planted, tmp_path, monkeypatch, capsys):
    code, trace = planted
    config = tmp_path / "c.yaml"
    config.write_text(f"passes: {{a: {{type: '{code}:C'}}}}\n", encoding="utf-8")
    monkeypatch.setattr("graft.runs.trust.named_code", lambda document: iter(()))
    assert main(["run", "--config", str(config)]) == 2
    assert "is code that was not named on the command line" in capsys.readouterr().err and not trace.exists()


def test_with_consent_the_code_is_named_before_it_runs(planted, tmp_path, capsys):
    code, trace = planted
    config = tmp_path / "c.yaml"
    config.write_text(f"loss: {code}:f\nlearning_rate: -1\n", encoding="utf-8")
    assert main(["finetune", "--config", str(config), "--trust_remote_code"]) == 2
    said = capsys.readouterr().err
    assert f"running code that {config} names" in said and "learning_rate" in said and trace.exists()


def test_code_on_the_command_line_replaces_that_of_the_file(planted, tmp_path, capsys):
    code, trace = planted
    config = tmp_path / "c.yaml"
    config.write_text(f"loss: {code}:f\nlearning_rate: -1\n", encoding="utf-8")
    assert main(["finetune", "--config", str(config), "--loss", "focal"]) == 2
    assert "learning_rate" in capsys.readouterr().err and not trace.exists()
    assert main(["finetune", "--config", str(config), "--loss", f"{code}:f"]) == 2
    assert "learning_rate" in capsys.readouterr().err and trace.exists()


def test_a_run_to_resume_does_not_consent(planted, tmp_path):
    code, trace = planted
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(f"loss: {code}:f\ntrust_remote_code: true\n", encoding="utf-8")
    given = {"resume": True, "output_path": str(run)}
    with pytest.raises(InputError, match=r"config\.yaml: this file names code to run, .*planted\.py:f"):
        plan(finetune_settings(given))
    assert not trace.exists()
    with pytest.raises(InputError, match="no model is given"):
        plan(finetune_settings(given | {"trust_remote_code": True}))
    assert trace.exists()


def test_code_that_was_typed_may_be_recorded(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert check_file({"loss": str(tmp_path / "own.py:f")}, "c.yaml", False, {"loss": "own.py:f"})[1] == []
    with pytest.raises(InputError, match="other"):
        check_file({"loss": "own.py:f", "metrics": ["other:f"]}, "c.yaml", False, {"loss": "own.py:f"})


@pytest.mark.parametrize(
    "place",
    [
        {"search_strategy": "{}:C"},
        {"sampler": {"type": "{}:C", "num_trials": 4}},
        {"search_space": {"method": ["lora", "{}:C"]}},
        {"search_space": {"loss": {"type": "choice", "values": ["focal", "{}:f"]}}},
        {"search_space": {"trainer.loss": {"space": "choice", "categories": ["{}:f"]}}},
        {"search_space": "lora_r=8|16, loss=focal|{}:f"},
    ],
    ids=str,
)
def test_a_search_in_a_file_does_not_consent_to_code_and_a_typed_one_does(place, planted):
    code, trace = planted
    document = json.loads(json.dumps(place).replace("{}", str(code)))
    with pytest.raises(InputError, match=r"names code to run.*planted\.py:"):
        check_file(document, "search.yaml", trusted=False)
    assert check_file(document, "search.yaml", trusted=True)[1]
    typed = typed_code([], {"search_space": f"lora_r=8|16, loss=focal|{code}:f"})
    with only_consented(typed):
        assert LOSSES.get(f"{code}:f") and trace.exists()


def test_a_template_in_a_searched_text_is_no_code():
    document = {"search_space": "prompt_template=User: {a}|Q: {b}, lora_r=8|16"}
    assert check_file(document, "search.yaml", trusted=False)[1] == []


def test_a_command_that_reads_named_code_from_a_run_carries_the_flag():
    assert consent_words({"loss": "own.py:f"}) == consent_words({"trust_remote_code": True}) == ("--trust_remote_code",)
    assert consent_words({"loss": "focal", "system_prompt": "a:b", "data_files": ["c:d"]}) == ()
