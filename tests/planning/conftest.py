import json

import pytest

from gguf_tokenizers import sentencepiece
from graft.commands.doctor import diagnose_data, settings_class
from graft.config import build
from tiny_models import tiny_model, tiny_model_folder, wide_model_folder
from tiny_task_models import tiny_bert_folder, tiny_t5_folder


def sentencepiece_folder(folder):
    """A tiny llama whose tokenizer falls back to bytes."""
    tokenizer = sentencepiece()
    path = folder / "tiny-sentencepiece"
    tiny_model("llama", tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def checked_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "llama": tiny_model_folder(folder),
        "bert": tiny_bert_folder(folder),
        "t5": tiny_t5_folder(folder),
        "wide": wide_model_folder(tmp_path_factory.mktemp("wide")),
        "sentencepiece": sentencepiece_folder(folder),
    }


@pytest.fixture
def diagnosed(checked_models, tmp_path):
    def run(rows, model="llama", checks="lengths,answers", **settings):
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        name = None if model is None else str(checked_models[model])
        given = {"data_files": str(file), "model_name_or_path": name, "checks": checks, **settings}
        return diagnose_data(build(settings_class(), given))

    return run
