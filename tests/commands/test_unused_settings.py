"""What is given and would do nothing is said, all of it at once; what a run recorded runs again."""

import json

import pytest
import yaml

from graft.cli.main import main
from graft.commands.finetune import finetune
from graft.config import FinetuneSettings
from graft.errors import InputError
from graft.methods import METHODS
from graft.planning.plan import plan_run
from graft.planning.settings import finetune_settings
from graft.tasks import TASKS
from task_rows import ROWS
from tiny_task_models import tiny_bert_folder


def said(problems):
    return [problem.what for problem in problems]


def refused(given):
    with pytest.raises(InputError) as caught:
        plan_run(finetune_settings(given))
    return caught.value.problems


def test_what_a_method_does_not_use_is_said_with_what_would(given):
    del given["lora_dropout"]
    problems = refused({**given, "method": "lora", "reduction_factor": 8, "quantization": "int4"})
    assert said(problems) == [
        "--quantization int4 is not used by --method lora",
        "--reduction_factor 8.0 is not used by --method lora",
    ]
    assert [p.remedy for p in problems] == [
        "omit it, or use --method qlora",
        "omit it, or use --method adapters",
    ]


def test_a_value_that_is_the_default_was_given_all_the_same(given):
    del given["lora_dropout"]
    (problem,) = refused({**given, "method": "full", "r": 16})
    assert problem.what == "--lora_r 16 is not used by --method full"
    assert problem.remedy.startswith("omit it, or use --method lora, qlora, ")


def test_all_of_it_at_once_with_what_else_is_wrong_and_nothing_written(tiny_llama, tone, tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text("method: full\nlora_alpha: 8\npair_label: different\n", encoding="utf-8")
    words = ("--config", config, "--reduction_factor", 8, "--logging_dir", "logs", "-o", tmp_path / "out")
    words = (*words, "--loss", "cross-entropy", "--teacher", "runs/large")
    code = main(["finetune", str(tiny_llama), str(tone), *map(str, words)])
    err = capsys.readouterr().err
    assert code == 2 and not (tmp_path / "out").exists()
    assert "--lora_alpha 8.0 is not used by --method full" in err
    assert "--reduction_factor 8.0 is not used by --method full\n    omit it, or use --method adapters" in err
    assert "--pair_label different is not used by --task text-generation" in err
    assert "--logging_dir logs is used only by --report_to tensorboard" in err
    assert "--loss cross-entropy and --teacher select different losses" in err
    assert main(["finetune", str(tiny_llama), "none.jsonl", *map(str, words)]) == 2
    err = capsys.readouterr().err
    assert "none.jsonl: no such file" in err and "--lora_alpha 8.0 is not used by --method full" in err


def test_what_a_task_does_not_use(given, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS["classes"]()), encoding="utf-8")
    given |= {"model_name_or_path": str(tiny_bert_folder(tmp_path)), "data_files": str(rows)}
    problems = refused({**given, "loss_on": "all", "instruction": "Say it", "max_new_tokens": 4})
    remedies = {problem.what: problem.remedy for problem in problems}
    assert remedies == {
        "--instruction Say it is not used by --task text-classification": (
            "omit it, or use --task text-generation or summarization"
        ),
        "--loss_on all is not used by --task text-classification": "omit it, or use --task text-generation",
        "--max_new_tokens 4 is not used by --task text-classification": (
            "omit it, or use --task text-generation or summarization"
        ),
    }
    plan_run(finetune_settings({**given, "prompt_template": "{text}", "completion_template": "{label}"}))


def test_a_whole_text_leaves_no_place_for_parts_of_it(given):
    parts = {"system_prompt": "Be brief.", "prompt_template": "{text}", "text_template": "{text}: {label}"}
    assert said(refused({**given, **parts})) == [
        "--prompt_template {text} is not used with --text_template, which already defines the whole text",
        "--system_prompt Be brief. is not used with --text_template, which already defines the whole text",
    ]


def test_an_argument_of_another_loss(given):
    (problem,) = refused({**given, "loss_arguments": {"gamma": 2}})
    assert "has no gamma" in problem.what and problem.remedy == "--loss focal has gamma"


@pytest.mark.parametrize("name", METHODS.names())
def test_a_methods_options_are_not_those_of_graft(name):
    assert METHODS.get(name).Config.model_fields.keys().isdisjoint(FinetuneSettings.model_fields)


def test_what_tasks_use_are_settings():
    assert set().union(*(TASKS.get(name).uses for name in TASKS.names())) <= set(FinetuneSettings.model_fields)


@pytest.mark.parametrize(
    "chosen",
    [
        {"method": "full"},
        {"method": "adapters", "reduction_factor": 8, "lora_dropout": 0.1},
        {"method": "ia3"},
        {"method": "qlora", "loss": "focal", "loss_arguments": {"gamma": 1.5}, "report_to": "tensorboard"},
    ],
)
def test_a_runs_own_file_runs_again(given, tmp_path, capsys, chosen):
    del given["lora_dropout"]
    run = finetune({**given, "evaluate": False, "max_steps": 2, **chosen})
    again = tmp_path / "again"
    code = main(["run", "--config", str(run / "config.yaml"), "--output_path", str(again)])
    assert code == 0, capsys.readouterr().err
    first, second = (yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8")) for path in (run, again))
    assert {**first, "output_path": str(again)} == second
    recorded = [json.loads((path / "manifest.json").read_text(encoding="utf-8"))["settings"] for path in (run, again)]
    assert {**recorded[0], "output_path": str(again)} == recorded[1]


def test_options_of_the_rows_that_others_leave_without_a_meaning(given, tone):
    apart = {"eval_data_files": str(tone)}
    (problem,) = refused(given | apart | {"eval_share": 0.2})
    assert problem.what == f"--eval_share 0.2 is not used: the held-out rows are those of {tone}"
    (problem,) = refused(given | apart | {"eval_split": "train[:4]"})
    assert problem.what.startswith("--eval_split train[:4] is not used with --eval_data_files")
    (problem,) = refused(given | {"data_config_name": "en"})
    assert problem.what.startswith("--data_config_name en is not used: only data sets of the Hub")
    (problem,) = refused(given | {"metrics": "accuracy", "evaluate": False})
    assert problem.what.startswith("--metrics accuracy is not used with --no_evaluate")
    assert "--resume goes on with a run" in " ".join(said(refused(given | {"resume": True, "overwrite": True})))


def test_a_share_of_a_folder_with_a_split_to_hold_out(given, tone, tmp_path):
    folder = tmp_path / "splits"
    folder.mkdir()
    lines = tone.read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(lines[:32]), encoding="utf-8")
    (folder / "validation.jsonl").write_text("".join(lines[32:]), encoding="utf-8")
    del given["data_files"]
    (problem,) = refused({**given, "data_name": str(folder), "eval_share": 0.2})
    assert problem.what == f"--eval_share 0.2 is not used: the held-out rows are those of {folder} validation"
