import json
import subprocess
import sys

import pytest

from graft.cli.main import COMMANDS, SAME, main


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("name", [*COMMANDS, *SAME])
def test_every_command_has_help(name, capsys):
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"usage: graft {name}" in out
    takes_a_file = name not in {"show", "demo", "devices", "models", "runs"}
    assert ("--config" in out) == takes_a_file


def test_help_says_what_to_write_behind_an_option(capsys):
    main(["finetune", "--help"])
    lines = capsys.readouterr().out.splitlines()
    for line in (
        "  --precision {auto,float32,bfloat16,float16}",
        "  --data_files A,B,…",
        "  --text_template TEXT",
        "  --load_best_model_at_end {true,false} (default: true)",
        "  --use_dora",
        "  --loss_arguments NAME=VALUE,…",
        "  --output_path PATH",
    ):
        assert line in lines
    assert any(line.endswith("[also -o, --output_dir]") for line in lines)
    assert not any("default: False" in line for line in lines)


def test_what_a_command_without_settings_takes(capsys):
    main(["run", "--help"])
    out = capsys.readouterr().out
    assert "--setup" in out and "--dry_run" in out
    main(["demo", "--help"])
    assert "--overwrite" in capsys.readouterr().out


def test_the_json_schema_has_every_option_with_its_aliases(capsys):
    assert main(["finetune", "--help", "--json"]) == 0
    schema = json.loads(capsys.readouterr().out)
    properties = schema["properties"]
    assert properties["learning_rate"]["aliases"] == ["lr"] and schema["additionalProperties"] is False
    assert properties["lora_r"]["default"] == 16 and "rank" in properties["lora_r"]["aliases"]
    assert properties["max_steps"]["anyOf"][0] == {"exclusiveMinimum": 0, "type": "integer"}
    for name in (*COMMANDS, *SAME):
        assert main([name, "--help", "--json"]) == 0
        json.loads(capsys.readouterr().out)


def test_unknown_command_names_the_nearest(capsys):
    assert main(["finetun"]) == 2
    assert "did you mean finetune?" in capsys.readouterr().err


def test_unknown_options_are_all_named_at_once(capsys):
    code = main(["finetune", "m", "d.jsonl", "--max_step", "100", "--lerning_rate", "1"])
    err = capsys.readouterr().err
    assert code == 2
    assert "--max_step" in err and "did you mean max_steps?" in err
    assert "--lerning_rate" in err and "did you mean learning_rate?" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serch"], "did you mean search?"),
        (["search", "--serch_space", "x=1"], "did you mean search_space?"),
        (["search", "--num_trails", "3"], "did you mean num_trials?"),
        (["runs", "clen"], "did you mean clean?"),
        (["config", "chek"], "did you mean check?"),
        (["config"], "graft config schema [COMMAND] | check FILE | convert FILE"),
    ],
)
def test_a_mistyped_word_or_option_names_the_nearest(words, said, capsys):
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_nothing_given_says_all_that_is_missing(capsys):
    assert main(["finetune"]) == 2
    err = capsys.readouterr().err
    assert "no model is given" in err and "no data is given" in err


def test_errors_as_json(capsys):
    assert main(["finetune", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 2 and len(document["error"]) == 2


def test_bad_log_level(capsys):
    assert main(["show", "x", "--log_level", "7"]) == 2
    assert "--log_level" in capsys.readouterr().err


def test_importing_graft_and_help_import_no_torch():
    code = "import sys, graft; from graft.cli.main import main; main(['--help']); main(['finetune', '--help']);" + (
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'datasets', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_options_that_contradict_are_answered_before_libraries_are_imported():
    words = [
        "finetune",
        "no-model",
        "no-data",
        "--max_steps",
        "5",
        "--num_train_epochs",
        "2",
        "--load_best_model_at_end",
        "true",
    ]
    code = f"import sys; from graft.cli.main import main; print(main({words}), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]
    assert "--num_train_epochs 2 would do nothing" in done.stderr


def test_data_is_prepared_without_torch(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": " a ", "label": "b"}\n', encoding="utf-8")
    words = ["prepare", str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out"), "--json"]
    code = f"import sys; from graft.cli.main import main; print(main({words}), 'torch' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["0", "False"]


def test_fields_that_contradict_are_answered_before_data_and_model_are_sought(capsys):
    words = ["finetune", "no-model", "no-data", "--save_strategy", "no", "--load_best_model_at_end", "true"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "--load_best_model_at_end would do nothing" in said and "no-model" not in said and "Hub" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "smollm2-135m-instruct"], "no data is given"),
        (["finetune", "smollm2-135m-instruct"], "no data is given"),
        (["init", "--yes"], "no data is given"),
        (["plan", "a", "b", "c"], "too many arguments: c"),
    ],
)
def test_what_is_missing_is_said_before_libraries_are_imported(words, said, tmp_path):
    """In a process of its own: here they are imported already."""
    line = [sys.executable, "-m", "graft.cli.main", *words]
    done = subprocess.run(line, capture_output=True, check=False, encoding="utf-8", cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr
    assert "loading libraries" not in done.stderr
    if words[0] == "plan":
        assert "graft finetune" not in done.stderr
