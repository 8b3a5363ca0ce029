import json

import pytest

from graft.cli.main import main
from graft.commands.planner import advised_plan, given_values, planned
from graft.errors import InputError
from graft.planning.limits import Limits
from graft.planning.settings import finetune_settings

pytestmark = pytest.mark.slow  # each estimates several methods


@pytest.fixture
def words(tiny_llama, tone):
    return [str(tiny_llama), str(tone)]


def plain(given):
    kept = {"model_name_or_path", "data_files", "output_path", "max_steps"}
    return finetune_settings({name: value for name, value in given.items() if name in kept})


def test_amounts_are_read_with_their_units():
    assert Limits.read("8GB", "30m", "500MB") == Limits(8000.0, 30.0, 500.0)
    assert Limits.read("2 GiB", "1.5h") == Limits(2**31 / 1e6, 90.0, None)


def test_all_wrong_amounts_are_said_at_once():
    with pytest.raises(InputError) as raised:
        Limits.read("8", "30 fortnights", "much")
    assert [problem.where for problem in raised.value.problems] == ["--max_memory", "--max_time", "--max_size"]


def test_every_method_is_estimated_and_lora_is_advised_where_all_fit(given):
    found = planned(plain(given), Limits(memory_mb=1e6))
    able = {one.method for one in found.choices if one.estimate}
    assert able == {"lora", "qlora", "adapters", "full"}
    assert found.advised.method == "lora" and found.advised.engine == "exact" and found.advised.fits
    assert "--method lora" in found.command and found.unmergeable == ["adapters"]
    full = next(one for one in found.choices if one.method == "full")
    assert full.estimate.trained == full.estimate.parameters
    assert {one.format for one in found.deployments if one.refused is None} >= {"hf", "gguf"}


def test_what_nearly_fits_is_said_where_nothing_does(given):
    found = planned(plain(given), Limits(memory_mb=1.0))
    assert not found.advised.fits and found.said.startswith("nothing fits") and "(limit: 0.0 GB)" in found.said
    assert found.advised.batch_size == 1  # smaller batches were tried


def test_the_smallest_export_is_named_where_none_is_small_enough(given):
    found = planned(plain(given), Limits(memory_mb=1e6, size_mb=1e-9))
    assert "no export is small enough" in found.said


def test_what_the_user_gave_stays(given):
    settings = finetune_settings({**plain(given).model_dump(exclude_unset=True), "method": "adapters"})
    advised = advised_plan(settings)
    assert advised.settings.method == "adapters" and "method" not in {one.name for one in advised.inferred}
    assert given_values(advised.settings)["engine"] == "exact"


def test_auto_reads_the_rows_once_and_plans_what_the_advice_alone_would(given, monkeypatch):
    from graft.planning import inputs
    from graft.planning.plan import plan_run

    read, times = inputs.load_readable, []
    monkeypatch.setattr(inputs, "load_readable", lambda *words: times.append(words) or read(*words))
    found = advised_plan(plain(given))
    assert len(times) == 1
    again = plan_run(found.settings)
    assert again.training == found.training and again.tokens == found.tokens and again.rows is not found.rows
    assert found.settings.method == "lora" and {"method", "engine"} <= {one.name for one in found.inferred}


def test_the_command_prints_a_table_and_json(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", *words, "--max_memory", "500GB", "--max_steps", "3"]) == 0
    out = capsys.readouterr().out
    assert "lora" in out and "qlora" in out and "graft finetune" in out
    assert main(["plan", *words, "--method", "lora", "--max_steps", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {one["method"] for one in document["choices"]} == {"lora"} and document["command"]
    assert not (tmp_path / "runs").exists()


def test_auto_is_recorded(words, capsys, tmp_path):
    out = tmp_path / "run"
    assert main(["finetune", *words, "-o", str(out), "--auto", "--max_steps", "1", "--no_evaluate", "--json"]) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    inferred = {one["name"]: one for one in manifest["inferred_settings"]}
    assert inferred["method"]["value"] == "lora" and "fits" in inferred["method"]["why"]
