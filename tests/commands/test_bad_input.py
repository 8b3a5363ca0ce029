"""Every item of "what bad input gets": by the command line, exit code 2, in words to act on, and nothing written."""

import json
import shutil
import subprocess
import sys

import pytest
from filelock import FileLock

from graft.cli.main import main
from tiny_models import tiny_gguf

ROWS = [
    {"text": f"{word} day number {n}", "label": label}
    for n in range(6)
    for word, label in (("fine", "good"), ("bad", "bad"))
]


def jsonl(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture
def refused(tiny_llama, tmp_path, capsys):
    """Runs ``graft finetune`` on a data file (or whatever is given instead); gives what it said on stderr."""

    def run(data, *options, model=tiny_llama):
        out = tmp_path / "out"
        code = main(["finetune", str(model), str(data), "-o", str(out), *options])
        said = capsys.readouterr()
        assert code == 2, said.err
        assert "error: " in said.err and "Traceback" not in said.err and said.out == ""
        assert not out.exists()
        return said.err

    return run


@pytest.fixture
def written(tmp_path):
    def write(content, name="rows.jsonl"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write


def test_no_such_file_names_the_nearest(refused, tmp_path, written):
    written(jsonl(ROWS), "tone-train.jsonl")
    err = refused(tmp_path / "tone-trian.jsonl")
    assert f"{tmp_path / 'tone-trian.jsonl'}: no such file" in err and "did you mean tone-train.jsonl?" in err


def test_no_such_folder_for_the_file(refused, tmp_path):
    err = refused(tmp_path / "nowhere" / "rows.jsonl")
    assert "no such file" in err and f"the folder {str(tmp_path / 'nowhere')!r} does not exist either" in err


def test_a_glob_that_means_nothing(refused, tmp_path):
    assert "no such file" in refused(tmp_path / "*.jsonl")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.parquet"])
def test_an_empty_file(refused, written, name):
    assert f"{name}: the file is empty" in refused(written("", name))


@pytest.mark.parametrize(("name", "content"), [("r.jsonl", "\n \n"), ("r.csv", "text,label\n"), ("r.json", "[]")])
def test_a_file_without_rows(refused, written, name, content):
    assert "there are no rows in this file" in refused(written(content, name))


def test_an_unknown_ending_lists_those_that_are_read(refused, written):
    err = refused(written("x", "rows.xlsx"))
    assert "'.xlsx'" in err and ".jsonl" in err and ".csv" in err


def test_line_17_is_not_json(refused, written):
    lines = jsonl(ROWS * 2).splitlines()
    lines[16] = '{"text": "oh, "label": "bad"}'
    lines[19] = "[1, 2]"
    err = refused(written("\n".join(lines)))
    assert "rows.jsonl:17: this line is not JSON" in err and '{"text": "oh, "label": "bad"}' in err
    assert "rows.jsonl:20: expected a JSON object with named columns, got [1, 2]" in err


def test_many_bad_lines_are_counted_not_listed(refused, written):
    err = refused(written("no json\n" * 500))
    assert err.count("not JSON") == 20 and "480 more" in err


def test_json_nested_beyond_reading(refused, written):
    err = refused(written('{"text": ' + "[" * 100_000))
    assert "rows.jsonl:1: " in err and len(err) < 1000


def test_half_a_character_is_named_by_line(refused, written):
    err = refused(written(jsonl(ROWS) + '{"text": "cut emoji \\ud83d", "label": "bad"}\n'))
    assert f"rows.jsonl:{len(ROWS) + 1}: " in err and "surrogate" in err


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_utf16_file(refused, written, encoding):
    err = refused(written(jsonl(ROWS).encode(encoding)))
    assert "it seems to be UTF-16" in err and "iconv -f UTF-16" in err


def test_a_latin1_file(refused, written):
    rows = [*ROWS, {"text": "schön", "label": "good"}]
    err = refused(written(jsonl(rows).encode("latin-1")))
    assert f"rows.jsonl:{len(rows)}: the file is not UTF-8" in err and "Latin-1" in err and "iconv" in err


def test_a_template_naming_a_column_that_is_not_there(refused, written):
    err = refused(written(jsonl(ROWS)), "--text_template", "User: {txt}\\nAssistant: {answer}")
    assert (
        "--text_template: {txt} is not a column" in err and "did you mean {text}? the columns are: text, label" in err
    )
    assert "{answer} is not a column" in err


def test_both_of_two_templates_are_checked(refused, written):
    err = refused(written(jsonl(ROWS)), "--prompt_template", "{a}", "--completion_template", "{lable}")
    assert "--prompt_template: {a} is not a column" in err
    assert "--completion_template: {lable} is not a column" in err and "did you mean {label}?" in err
    assert "--completion_template" in refused(written(jsonl(ROWS)), "--prompt_template", "{text}")


def test_rows_with_other_columns_than_the_first(refused, written):
    rows = [*ROWS, {"text": "no label"}, {"tweet": "x", "label": "bad"}, {"text": "null", "label": None}]
    err = refused(written(jsonl(rows)))
    n = len(ROWS)
    assert f"rows.jsonl:{n + 1}: missing column: label (the columns are text)" in err
    assert f"rows.jsonl:{n + 2}: missing column: text (the columns are tweet, label)" in err
    assert f"rows.jsonl:{n + 3}: empty column: label" in err


def test_the_first_row_is_the_odd_one(refused, written):
    err = refused(written(jsonl([{"text": "no label"}, *ROWS])))
    assert "rows.jsonl:1: missing column: label (the columns are text)" in err
    assert "rows.jsonl:2" not in err


def test_rows_of_two_kinds(refused, written):
    texts = [{"text": f"only text {n}"} for n in range(20)]
    err = refused(written(jsonl([*texts, *ROWS])))
    assert "rows.jsonl:21: " in err and "label" in err


def test_columns_without_a_known_role(refused, written):
    err = refused(written(jsonl([{"a": "x", "b": "y"}] * 5)))
    assert "these columns are not recognized: a, b" in err
    assert '--prompt_template "{a}" --completion_template "{b}"' in err


def test_an_empty_answer(refused, written):
    err = refused(written(jsonl([*ROWS, {"text": "x", "label": " "}])))
    assert f"rows.jsonl:{len(ROWS) + 1}: the answer is empty" in err


def test_a_label_seen_once(refused, written):
    err = refused(written(jsonl([*ROWS, {"text": "alone", "label": "meh"}])))
    assert f"rows.jsonl:{len(ROWS) + 1}: the label 'meh' occurs once" in err


def test_many_labels_seen_once_are_counted(refused, written):
    rows = [{"text": f"t{n} {m}", "label": f"c{n}"} for n in range(40) for m in range(3)]
    rows += [{"text": f"alone {n}", "label": f"single{n}"} for n in range(40)]
    err = refused(written(jsonl(rows)))
    assert err.count("occurs once") == 20 and "20 more" in err


@pytest.mark.parametrize(("count", "said"), [(1, "only 1 row:"), (2, "only 2 rows:")])
def test_two_rows_only(refused, written, count, said):
    err = refused(written(jsonl([{"prompt": f"p{n}", "completion": f"c{n}"} for n in range(count)])))
    assert said in err and "at least 4 are needed" in err


def test_all_answers_alike(refused, written):
    err = refused(written(jsonl([{"text": f"t{n}", "label": "good"} for n in range(20)])))
    assert "every answer is 'good', so there is nothing to learn" in err


def test_all_prompts_alike(refused, written):
    err = refused(written(jsonl([{"prompt": "same", "completion": f"answer {n}"} for n in range(20)])))
    assert "same prompt" in err


def test_a_row_that_is_too_long(refused, written):
    rows = [*ROWS, {"text": "long " * 300, "label": "bad"}]
    err = refused(written(jsonl(rows)), "--max_length", "200")
    assert f"1 of {len(rows)} rows is longer than --max_length 200: " in err and f"rows.jsonl:{len(rows)}; " in err
    assert "--on_long drop" in err


def test_csv_rows_of_another_width_and_quotes_left_open(refused, written):
    assert "rows.csv:3: 3 cells, but the header has 2" in refused(written("text,label\na,b\na,b,c\n", "rows.csv"))
    assert "rows.csv:3: " in refused(written('text,label\na,b\n"open,b\nc,d\ne,f\n', "rows.csv"))
    assert "names a column twice: text" in refused(written("text,text\na,b\n", "rows.csv"))


def test_a_parquet_file_that_is_none(refused, written):
    assert "cannot be read as parquet" in refused(written(b"PAR1 and then nothing", "rows.parquet"))


def test_splits_and_slices_that_are_not_there(refused, written):
    path = written(jsonl(ROWS))
    assert "there is no split 'trian'" in refused(path, "--train_split", "trian[:4]")
    assert "'train[4]' is not of the form" in refused(path, "--train_split", "train[4]")
    assert "train[100:] has no rows" in refused(path, "--train_split", "train[100:]")


def test_what_is_wrong_with_training_and_held_out_files_is_said_together(refused, written):
    bad = written("no json\n", "train.jsonl")
    held = written("{}\n[]\n", "held.jsonl")
    err = refused(bad, "--eval_data_files", str(held))
    assert "train.jsonl:1: this line is not JSON" in err and "held.jsonl:2: " in err


def test_a_model_folder_without_weights(refused, written, tiny_llama, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_llama, model)
    (model / "model.safetensors").unlink()
    err = refused(written(jsonl(ROWS)), model=model)
    assert f"{model}: there are no weights in this model folder" in err and "model.safetensors" in err


def test_a_truncated_safetensors(refused, written, tiny_llama, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_llama, model)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    err = refused(written(jsonl(ROWS)), model=model)
    assert f"{weights}: the weight file is truncated" in err and "download it again" in err


def test_a_gguf_of_an_unsupported_architecture(refused, written, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    file = tiny_gguf(tmp_path / "odd.gguf", "mamba9")
    err = refused(written(jsonl(ROWS)), model=file)
    assert f"{file}: a GGUF file of the architecture 'mamba9' cannot be converted" in err and "llama" in err


def test_a_hub_id_without_a_connection(refused, written, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    err = refused(written(jsonl(ROWS)), model="someone/some-model")
    assert "'someone/some-model'" in err and "HF_HUB_OFFLINE is set" in err and "smollm2-135m-instruct" in err


def test_the_data_and_the_model_are_said_together(refused, tmp_path):
    err = refused(tmp_path / "none.jsonl", model=tmp_path / "no-model")
    assert "none.jsonl: no such file" in err and "no-model" in err.replace("none.jsonl", "")


def test_wrong_options_of_every_sort_are_said_together(refused, tmp_path):
    options = ["--max_step", "100", "--lr", "fast", "--lora_dropout=2", "--max_grad_norm", "x", "--loss-on", "prompt"]
    err = refused(tmp_path / "none.jsonl", *options)
    assert "unknown option --max_step" in err and "did you mean max_steps?" in err
    assert "--lr must be a number above 0 and at most 10, not 'fast'" in err
    assert "--lora_dropout must be a number of at least 0 and below 1, not '2'" in err
    assert "--max_grad_norm" in err and "'x'" in err
    assert "--loss_on must be completion or all, not 'prompt'" in err
    assert "none.jsonl: no such file" in err


def test_a_name_that_transformers_would_refuse_later(refused, written):
    err = refused(written(jsonl(ROWS)), "--lr_scheduler_type", "cosin", "--r", "0", "--optim", "adamw_troch")
    assert (
        "--optim must be adamw_torch, " in err
        and "did you mean adamw_torch?" in err
        and "--r must be a whole number" in err
    )
    err = refused(written(jsonl(ROWS)), "--lr_scheduler_type", "cosin")
    assert "--lr_scheduler_type must be linear, cosine, " in err and "did you mean cosine?" in err


def test_words_swallowed_by_an_option(refused, written):
    err = refused(written(jsonl(ROWS)), "--method", "lora", "more", "words")
    assert "--method accepts one value, not lora, more, words" in err


def test_an_option_without_its_value(refused, written):
    assert "--max_steps must be a whole number above 0; no value is given" in refused(
        written(jsonl(ROWS)), "--max_steps"
    )


def test_a_file_of_settings_names_its_lines_keys(refused, written):
    config = written("max_step: 3\nlearning_rate: fast\nlora_r: 0.5\n", "c.yaml")
    err = refused(written(jsonl(ROWS)), "--config", str(config), "--seed", "-1")
    assert "c.yaml:1:1: unknown setting max_step" in err and "did you mean max_steps?" in err
    assert "c.yaml:2:16: learning_rate must be a number" in err and "'fast'" in err
    assert "c.yaml:3:9: lora_r must be a whole number above 0, not 0.5" in err
    assert "error: --seed must be a whole number" in err


def test_a_method_that_is_not_there(refused, written):
    err = refused(written(jsonl(ROWS)), "--method", "lora2")
    assert "there is no method called 'lora2'" in err and "did you mean lora?" in err


@pytest.mark.parametrize("wrong", [["--method", "lora2"], ["--lora_r", "-3"], ["--lora_rnk", "8"]])
def test_options_are_refused_before_libraries_are_loaded(written, tmp_path, wrong):
    words = ["finetune", "no-such-model", str(written(jsonl(ROWS))), "-o", str(tmp_path / "out"), *wrong]
    code = f"import sys; from graft.cli.main import main; sys.exit(main({words!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and wrong[0].lstrip("-") in done.stderr
    assert "loading" not in done.stderr


def test_the_output_folder_is_in_use(tiny_llama, written, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"):
        code = main(["finetune", str(tiny_llama), str(written(jsonl(ROWS))), "-o", str(out)])
    err = capsys.readouterr().err
    assert code == 2 and f"{out}: another graft process is using this folder" in err
    assert [path.name for path in out.iterdir()] in ([], [".lock"])


def test_the_output_folder_is_in_use_by_another_process(tiny_llama, written, tmp_path, capsys):
    out = tmp_path / "out"
    hold = "import sys, filelock; l = filelock.FileLock(sys.argv[1]); l.acquire(); print('held', flush=True); input()"
    out.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(out / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        assert main(["finetune", str(tiny_llama), str(written(jsonl(ROWS))), "-o", str(out)]) == 2
        assert "another graft process is using" in capsys.readouterr().err
    finally:
        holder.communicate("\n")


@pytest.mark.parametrize("options", [[], ["--overwrite"], ["--resume"]])
def test_the_output_folder_holds_other_files(tiny_llama, written, tmp_path, capsys, options):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("precious", encoding="utf-8")
    code = main(["finetune", str(tiny_llama), str(written(jsonl(ROWS))), "-o", str(out), *options])
    assert code == 2 and "has files that do not belong to a run: thesis.tex" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_the_output_folder_is_a_file(tiny_llama, written, tmp_path, capsys):
    path = written("x", "out")
    assert main(["finetune", str(tiny_llama), str(written(jsonl(ROWS))), "-o", str(path)]) == 2
    assert "the output folder is a file" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_is_said_with_the_rest(tiny_llama, tmp_path, written, capsys):
    out = written("x", "out")
    assert main(["finetune", str(tiny_llama), str(tmp_path / "none.jsonl"), "-o", str(out)]) == 2
    err = capsys.readouterr().err
    assert "the output folder is a file" in err and "none.jsonl: no such file" in err


def test_a_template_with_other_letters_survives(tiny_llama, written, tmp_path, capsys):
    rows = [{"質問": f"東京 {n}?", "回答": f"はい {n} ñß"} for n in range(10)]
    template = "問い：{質問}\\n答え：{回答}。"
    arguments = [str(tiny_llama), str(written(jsonl(rows))), "--text_template", template, "--dry_run", "--json"]
    assert main(["finetune", *arguments, "-o", str(tmp_path / "out")]) == 0
    document = json.loads(capsys.readouterr().out)
    first = document["first_rows"][0]
    number = int(first["origin"].rpartition(":")[2]) - 1
    assert first["prompt"] == f"問い：東京 {number}?\n答え："
    assert first["trained"] == f"はい {number} ñß。<|im_end|>"
    assert not (tmp_path / "out").exists()


def test_a_learning_rate_of_1e_4_in_yaml_is_a_number(tiny_llama, written, tmp_path, capsys):
    config = written("learning_rate: 1e-4\nmax_steps: 7\n", "c.yaml")
    arguments = [str(tiny_llama), str(written(jsonl(ROWS))), "--config", str(config), "--dry_run", "--json"]
    assert main(["finetune", *arguments, "-o", str(tmp_path / "out"), "--max_steps", "9"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["learning_rate"] == 1e-4 and document["steps"] == 9


def test_errors_as_one_json_document(tiny_llama, tmp_path, capsys):
    code = main(["finetune", str(tiny_llama), str(tmp_path / "none.jsonl"), "-o", str(tmp_path / "out"), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == document["exit_code"] == 2
    assert document["error"][0]["where"] == str(tmp_path / "none.jsonl")
