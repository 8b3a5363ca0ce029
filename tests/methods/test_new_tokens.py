"""Tokens that a run adds: their rows in the embeddings and the head, trained, saved, loaded, merged and exported."""

import json
import shutil

import pytest
import torch

from graft.cli.main import main
from graft.commands.finetune import finetune, plan
from graft.errors import InputError
from graft.methods.recorded import load_merged, load_tuned
from graft.models.base import load_model, load_tokenizer, open_run_or_model
from graft.models.new_tokens import RECORD, read_record
from tiny_models import tiny_model_folder

TOKENS = "<tool>,</tool>"
ROWS = [{"prompt": f"What is {n} + {n}?", "completion": f"<tool> {n} {n} </tool> {2 * n}"} for n in range(24)]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    made = {}

    def base(family):
        if family not in made:
            made[family] = tiny_model_folder(folder, family, width=64)
        return made[family]

    return base


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def tune(bases, rows, tmp_path_factory):
    """A run of a few steps with new tokens."""

    def made(family="llama", **settings):
        given = {
            "model_name_or_path": str(bases(family)),
            "data_files": str(rows),
            "output_path": str(tmp_path_factory.mktemp("runs") / "run"),
            "new_tokens": TOKENS,
            "max_steps": 6,
            "eval_steps": 3,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-2,
            "early_stopping_patience": 0,
            "evaluate": False,
        }
        return finetune(given | settings)

    return made


@pytest.fixture(scope="module")
def run(tune):
    return tune()


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0]


def opened(run):
    return open_run_or_model(run)


def test_the_plan_has_one_token_for_each_and_the_base_has_no_row_for_it_yet(bases, rows, capsys):
    words = ["finetune", str(bases("llama")), str(rows), "--dry_run", "--json", "--new_tokens"]
    assert main([*words, f"{TOKENS},<never>,What"]) == 0
    document = json.loads(capsys.readouterr().out)
    said = {entry["name"]: entry["value"] for entry in document["inferred_settings"]}
    assert said["unused_tokens"] == ["<never>"]
    assert (
        said["existing_tokens"] == ["What"] if "What" in load_tokenizer(opened(bases("llama")).base).get_vocab() else 1
    )


def test_a_new_row_begins_as_the_mean_of_its_old_pieces(bases, rows):
    planned = plan({"model_name_or_path": str(bases("phi3")), "data_files": str(rows), "new_tokens": TOKENS})
    plain, grown = load_model(opened(bases("phi3")).base), load_model(planned.base)
    tool = planned.base.new_tokens[0]
    assert tool.text == "<tool>" and len(tool.pieces) > 1 and not tool.existed
    for one, other in (
        (plain.get_input_embeddings(), grown.get_input_embeddings()),
        (plain.get_output_embeddings(), grown.get_output_embeddings()),
    ):
        assert torch.equal(other.weight[: len(one.weight)], one.weight)
        torch.testing.assert_close(other.weight[tool.id], one.weight[list(tool.pieces)].mean(0))
    assert grown.config.vocab_size == planned.base.embedding_rows == len(planned.tokenizer)


@pytest.mark.parametrize("family", ["llama", "phi3", "gemma3", "gpt2", "qwen3"])
def test_the_rows_are_trained_saved_and_loaded_and_merging_keeps_the_answers(tune, family):
    run = tune(family)
    base = opened(run).base
    ids = load_tokenizer(base)("<tool> 1 1 </tool> 2")["input_ids"]
    new = [token.id for token in base.new_tokens]
    assert set(new) <= set(ids)
    tuned = load_tuned(load_model(base), opened(run))
    with tuned.disable_adapter():
        before = logits(tuned, ids)
    after = logits(tuned, ids)
    assert (after - before)[:, new].abs().max() > 1e-3
    torch.testing.assert_close(before, logits(load_model(base), ids))
    rows = tuned.get_input_embeddings().weight[new]
    assert (rows - load_model(base).get_input_embeddings().weight[new]).abs().max() > 1e-3
    merged = load_merged(load_model(base), opened(run))
    torch.testing.assert_close(logits(merged, ids), after, atol=1e-5, rtol=1e-4)
    head = merged.get_output_embeddings()
    assert (head.weight is merged.get_input_embeddings().weight) == merged.config.tie_word_embeddings


def test_the_run_keeps_the_base_by_link_and_the_tokenizer_with_the_tokens(run, bases):
    from transformers import AutoTokenizer

    assert (run / "model" / "model.safetensors").samefile(bases("llama") / "model.safetensors")
    for folder in (run / "model", run / "adapter"):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert [token.text for token in read_record(folder)] == TOKENS.split(",")
        assert len(tokenizer("<tool>", add_special_tokens=False)["input_ids"]) == 1
        assert tokenizer.decode(tokenizer("<tool> 1", add_special_tokens=False)["input_ids"], skip_special_tokens=True)
    assert len(AutoTokenizer.from_pretrained(bases("llama"))) + 2 == len(tokenizer)


def test_special_tokens_are_left_out_of_answers_and_the_others_are_not(tune):
    run = tune(new_tokens="<tool>", new_special_tokens="</tool>", max_steps=1, eval_steps=1)
    tokenizer = load_tokenizer(opened(run).base)
    ids = tokenizer("<tool> 1 </tool>", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == "<tool> 1"


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_run_is_evaluated_beside_its_base(tune, rows, method, capsys):
    run = tune(method=method)
    assert main(["evaluate", str(run), str(rows), "--json", "--bootstrap_samples", "100"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"base", "tuned"} <= set(json.dumps(found).replace('"', " ").split())
    if method == "full":
        assert load_model(opened(run).base).config.vocab_size == len(load_tokenizer(opened(run).base))


def test_an_adapter_folder_alone_opens_with_its_tokens(run, tmp_path):
    shutil.copytree(run / "adapter", tmp_path / "mine")
    alone, whole = opened(tmp_path / "mine"), opened(run)
    assert alone.run is None and alone.base.new_tokens == whole.base.new_tokens
    ids = load_tokenizer(alone.base)("<tool> 1")["input_ids"]
    one, other = (logits(load_tuned(load_model(o.base), o), ids) for o in (alone, whole))
    assert torch.equal(one, other)
    (tmp_path / "mine" / RECORD).write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"new_tokens\.json: this is not JSON"):
        opened(tmp_path / "mine")


def test_the_card_shows_how_other_libraries_load_it(run):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from graft.report import write_pages

    write_pages(run)
    base = opened(run).base
    line = f"model.resize_token_embeddings({base.embedding_rows}, mean_resizing=False)"
    assert line in (run / "README.md").read_text(encoding="utf-8")
    model = AutoModelForCausalLM.from_pretrained(run / "model")
    model.resize_token_embeddings(base.embedding_rows, mean_resizing=False)
    ids = load_tokenizer(base)("<tool> 1")["input_ids"]
    found = logits(PeftModel.from_pretrained(model, run / "adapter").eval(), ids)
    torch.testing.assert_close(found, logits(load_tuned(load_model(base), opened(run)), ids))


def test_an_interrupted_run_goes_on_to_the_same_rows(tune, monkeypatch):
    from graft.training.ending import InterruptHandler

    def weights(run):
        return (run / "adapter" / "adapter_model.safetensors").read_bytes()

    whole = tune(save_steps=3)
    step_end = InterruptHandler.on_step_end

    def interrupt(self, args, state, control, **kwargs):
        self.asked = self.asked or state.global_step == 3
        return step_end(self, args, state, control, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(InterruptHandler, "on_step_end", interrupt)
        with pytest.raises(Exception, match="interrupted") as caught:
            tune(save_steps=3)
    assert caught
    folder = caught.value.problems[0].remedy.split("--output_path ")[1].split()[0].strip("'`")
    assert weights(finetune({"output_path": folder, "resume": True})) == weights(whole)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "qlora"}, ("--method qlora does not train the embeddings", "--method lora or full")),
        ({"method": "loha"}, ("--method loha does not train the embeddings",)),
        ({"method": "adapters"}, ("--method adapters does not train the embeddings",)),
        ({"new_special_tokens": "<tool>"}, ("'<tool>' is given both",)),
        ({"new_tokens": ["<tool>", " "]}, ("a new token is empty",)),
        ({"task": "text-classification"}, ("--new_tokens <tool>,</tool> is not used by --task text-classification",)),
        ({"modules_to_save": "lm_head"}, ("lm_head is trained in full", "or none of them")),
        ({"target_modules": "embed_tokens,q_proj"}, ("cannot have an adapter",)),
    ],
)
def test_what_cannot_be_is_refused_by_name(tune, options, words):
    with pytest.raises(InputError) as caught:
        tune(**options)
    assert all(word in str(caught.value) for word in words)


def test_a_head_with_a_bias_is_refused_for_lora(tune):
    with pytest.raises(InputError, match="has a bias"):
        tune("phi")


def test_layers_that_are_trained_whole_train_the_new_rows_too(tune):
    run = tune("phi3", modules_to_save="embed_tokens,lm_head")
    ids = load_tokenizer(opened(run).base)("<tool> 1 1 </tool> 2")["input_ids"]
    tuned = load_tuned(load_model(opened(run).base), opened(run))
    torch.testing.assert_close(
        logits(load_merged(load_model(opened(run).base), opened(run)), ids), logits(tuned, ids), atol=1e-5, rtol=1e-4
    )


def test_tokens_without_an_embedding_are_named_before_any_weight_is_loaded(bases, rows, tmp_path, capsys):
    folder = tmp_path / "grown"
    shutil.copytree(bases("llama"), folder)
    tokenizer = load_tokenizer(opened(folder).base)
    tokenizer.add_tokens(["<tool>", "</tool>"])
    tokenizer.save_pretrained(folder)
    words = ["finetune", str(folder), str(rows), "--output_path", str(tmp_path / "run"), "--max_steps", "2"]
    assert main([*words, "--dry_run"]) == 2
    err = capsys.readouterr().err
    assert (
        "2 tokens of the rows have no embedding: '<tool>', '</tool>'" in err and '--new_tokens "<tool>,</tool>"' in err
    )
    assert main([*words, "--new_tokens", TOKENS, "--evaluate", "false"]) == 0
    new = read_record(tmp_path / "run" / "model")
    assert [token.existed for token in new] == [True, True] and all(token.pieces for token in new)
    assert "existing_tokens" in capsys.readouterr().err


def test_more_rows_than_tokens_is_nothing_to_say_of_and_needs_no_new_rows(bases, rows, tmp_path):
    folder = tmp_path / "padded"
    model = load_model(opened(bases("llama")).base)
    model.resize_token_embeddings(448, mean_resizing=False)
    model.save_pretrained(folder)
    load_tokenizer(opened(bases("llama")).base).save_pretrained(folder)
    planned = plan({"model_name_or_path": str(folder), "data_files": str(rows), "new_tokens": TOKENS})
    assert planned.base.embedding_rows == 448
    assert len(load_model(planned.base).get_input_embeddings().weight) == 448


def test_tokens_come_from_a_file_and_from_the_names_of_other_tools(bases, rows, tmp_path):
    listed = tmp_path / "tokens.txt"
    listed.write_text("<tool>\n<a, b>\n", encoding="utf-8")
    given = {"model_name_or_path": str(bases("llama")), "data_files": str(rows)}
    for options, texts in (
        ({"add_tokens": str(listed)}, ["<tool>", "<a, b>"]),
        ({"tokens": ["<tool>", "<a, b>"]}, ["<tool>", "<a, b>"]),
        ({"additional_special_tokens": "<x>"}, ["<x>"]),
        ({"add_special_tokens": "<x>"}, ["<x>"]),
    ):
        assert [token.text for token in plan(given | options).base.new_tokens] == texts
