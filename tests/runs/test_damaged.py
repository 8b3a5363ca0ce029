"""Damage of run folders and bundles that once ended in a traceback, a hang, or a file from elsewhere."""

import json
import random
import shutil
from pathlib import Path

import pytest
from pydantic import Field

from graft.documents import lines_of
from graft.errors import InputError
from graft.export.onnx.genai_folder import read_decoder
from graft.runs.folder import RunFolder
from graft.runs.kept_rows import draw_kept_rows, read_kept_rows
from graft.runs.manifest import read_bundle, read_run
from graft.runs.paths import path_inside
from graft.runs.prompt_record import PromptRecord
from graft.runs.record import Count, Record, validate
from graft.training.checkpoints import MARKER, STATE, is_whole, read_state

FIXTURES = Path(__file__).parents[1] / "fixtures"


def edited(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **values}), "utf-8")


@pytest.mark.parametrize("named", ["../secret", "/etc/hostname", "x\0", "x" * 5000, "", "gone", "link"])
def test_a_file_that_a_manifest_names_is_in_its_folder(tmp_path, named):
    folder = tmp_path / "bundle"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "secret").write_text("x", "utf-8")
    (folder / "inner" / "own").write_text("x", "utf-8")
    try:
        (folder / "link").symlink_to(tmp_path / "secret")
    except OSError:
        pytest.skip("no links here")
    assert path_inside("inner/own", folder, "the file") == (folder / "inner" / "own").resolve()
    with pytest.raises(InputError, match=r"the file, .* is not a file in this folder"):
        path_inside(named, folder, "the file")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "a"}, r"rows.jsonl:2: the key 'completion' is missing"),
        ({"prompt": [], "completion": "b"}, r"rows.jsonl:2: 'prompt' is \[\]"),
        ({"prompt": [{"content": "a"}], "completion": "b"}, r"rows.jsonl:2: .*'prompt"),
        ({"text": "a", "label": 7}, r"rows.jsonl:2: 'label' is 7; expected a string"),
        ({"tokens": ["a"], "tags": []}, r"rows.jsonl:2: this row has 1 words and 0 tags"),
        ({"text": "a", "label": "b", "origin": "x"}, r"rows.jsonl:2: 'origin' is 'x'"),
        ([1], r"rows.jsonl:2: this is \[1\]; expected an object"),
    ],
)
def test_a_damaged_row_of_a_run_is_named_by_its_line(tmp_path, row, said):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"text": "a", "label": "b"}) + "\n" + json.dumps(row) + "\n", "utf-8")
    assert len(read_kept_rows(file, most=1)) == 1
    with pytest.raises(InputError, match=said):
        read_kept_rows(file)


def test_kept_rows_are_read_line_by_line_however_large_the_file_is(tmp_path):
    file = tmp_path / "rows.jsonl"
    row = json.dumps({"text": "a\u2028b", "label": "c"}, ensure_ascii=False).encode() + b"\n"
    file.write_bytes(row * 5)
    with file.open("rb+") as stream:
        stream.truncate(300 * 2**20)  # zeros, which take no room on the disk
    assert len(read_kept_rows(file, most=5)) == 5  # what comes after is not looked at
    with pytest.raises(InputError, match=r"rows\.jsonl:6: this line has more than 1 MB"):
        list(lines_of(file, most=10**6))
    file.write_bytes(row + b"\xff\n" + row)
    with pytest.raises(InputError, match=r"rows\.jsonl:2: this line is not UTF-8 text \(byte 0\)"):
        read_kept_rows(file)


@pytest.mark.parametrize("count", [3, 40, 300])
def test_the_rows_that_are_drawn_are_those_of_a_sample_of_all(tmp_path, count):
    file = tmp_path / "rows.jsonl"
    rows = [json.dumps({"text": f"row {number}", "label": "b"}) + "\n" * (1 + number % 3) for number in range(200)]
    file.write_text("".join(rows), "utf-8")
    drawn = draw_kept_rows(file, count, seed=7)
    assert drawn == random.Random(7).sample(read_kept_rows(file), min(count, 200))
    if count < 200:
        other = next(line for line in rows if json.loads(line)["text"] not in {row.text for row in drawn})
        file.write_text("".join(rows).replace(other.strip(), "{"), "utf-8")
        assert draw_kept_rows(file, count, seed=7) == drawn  # a damaged row that is not drawn is not looked at


class _Sizes(Record):
    intermediate_size: int | list[int] = 0
    listed: list[int] | str = ""
    counts: dict[str, Count | list[Count]] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"intermediate_size": 1.5}, "'intermediate_size' is 1.5; expected a whole number"),
        ({"intermediate_size": [1, "x"]}, r"'intermediate_size\.1' is 'x'; expected a whole number"),
        ({"listed": [1, "x"]}, r"'listed\.1' is 'x'; expected a whole number"),
        ({"counts": {"int": "x"}}, r"'counts\.int' is 'x'; expected a whole number"),
        ({"counts": {"list[int]": [[]]}}, r"'counts\.list\[int\]\.0' is \[\]; expected a whole number"),
    ],
)
def test_a_key_is_named_whatever_types_its_value_may_have(document, said):
    with pytest.raises(InputError, match=said):
        validate(_Sizes, document, "config.json")


@pytest.mark.parametrize("names", ["past.%999999999999d.key", "past.%s", "past", "%d%d", 7])
def test_names_of_caches_with_another_form_are_refused_before_they_are_formatted(tmp_path, names):
    file = Path(shutil.copy(FIXTURES / "bundle-0.1" / "genai_config.json", tmp_path))
    assert read_decoder(tmp_path).past[:2] == ["past_key_values.0.key", "past_key_values.0.value"]
    file.write_text(file.read_text("utf-8").replace('"past_key_values.%d.key"', json.dumps(names)), "utf-8")
    with pytest.raises(InputError, match=r"model\.decoder\.inputs\.past_key_names"):
        read_decoder(tmp_path)


def test_a_number_of_layers_beyond_any_model_is_refused(tmp_path):
    file = Path(shutil.copy(FIXTURES / "bundle-0.1" / "genai_config.json", tmp_path))
    text = file.read_text("utf-8")
    file.write_text(text.replace('"num_hidden_layers": 2', '"num_hidden_layers": 1000000000'), "utf-8")
    with pytest.raises(InputError, match=r"'model.decoder.num_hidden_layers' is 1000000000; expected at most 10000"):
        read_decoder(tmp_path)


@pytest.mark.parametrize("marker", ["[]", "{}", "7", '{"x\\u0000": 1}', "[" * 9999])
def test_a_checkpoint_with_a_damaged_marker_is_not_whole(tmp_path, marker):
    (tmp_path / MARKER).write_text(marker, "utf-8")
    assert not is_whole(tmp_path)


def test_the_state_of_another_step_is_not_resumed(tmp_path):
    checkpoint = Path(
        shutil.copytree(FIXTURES / "run-0.1" / "checkpoints" / "checkpoint-60", tmp_path / "checkpoint-60")
    )
    assert read_state(checkpoint).max_steps == 60
    edited(checkpoint / STATE, global_step=7)
    with pytest.raises(InputError, match=r"'global_step' is 7 in the checkpoint of step 60\n.*remove checkpoint-60"):
        read_state(checkpoint)
    edited(checkpoint / STATE, global_step="x", log_history=[7])
    with pytest.raises(InputError, match=r"'global_step' is 'x'; expected a whole number\n(.*\n)*.*'log_history\.0'"):
        read_state(checkpoint)


def test_damaged_lines_of_metrics_go_when_a_run_is_resumed_and_the_others_stay_as_they_are(tmp_path):
    lines = ['{"step":  1, "loss": NaN}', "[1]", "7", '{"step": "x"}', '{"step": 2}', '{"step": 9}', '{"ste']
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines), "utf-8")
    RunFolder(tmp_path).truncate_metrics(2)
    assert (tmp_path / "metrics.jsonl").read_text("utf-8") == f"{lines[0]}\n{lines[4]}\n"


@pytest.mark.parametrize("steps", [-1, 10**400, 1.5, True])
def test_numbers_that_count_nothing_are_refused(tmp_path, steps):
    file = Path(shutil.copy(FIXTURES / "run-0.1" / "manifest.json", tmp_path))
    edited(file, training={"steps": steps})
    with pytest.raises(InputError, match=r"'training\.steps' is .*expected"):
        read_run(tmp_path)


def test_a_placement_of_graft_0_1_that_is_no_text_is_refused(tmp_path):
    file = Path(shutil.copy(FIXTURES / "bundle-0.1" / "manifest.json", tmp_path))
    assert read_bundle(tmp_path).adapter.placement == "merged"
    edited(file, adapter={"way": {"merge": 1}, "why": ""})
    with pytest.raises(InputError, match=r"'adapter\.placement' is \{'merge': 1\}; expected a string"):
        read_bundle(tmp_path)


def test_a_recorded_setting_of_a_wrong_type_is_said_in_words():
    from graft.config import DataSettings

    with pytest.raises(InputError, match=r"the recorded setting max_length is 'x'; expected a whole number"):
        PromptRecord(data={"max_length": "x"}).settings(DataSettings)
