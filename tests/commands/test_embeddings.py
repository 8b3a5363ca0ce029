"""Embeddings for the data doctor: of a named encoder, or of the default one that is in the cache."""

from __future__ import annotations

import json

import numpy as np
import pytest

from graft.commands.doctor import diagnose_data, settings_class
from graft.commands.embeddings import ENCODER, find_embeddings
from graft.config import build
from graft.errors import InputError
from label_rows import labeled_rows, write_rows
from tiny_task_models import tiny_bert_folder


def settings(**given):
    return build(settings_class(), given)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_bert_folder(tmp_path_factory.mktemp("encoder"))


def test_texts_of_any_length_have_embeddings_of_length_one(encoder):
    embed = find_embeddings(settings(encoder=str(encoder)), 10**6)
    found = embed(["a", "", "word " * 900, "a"])
    assert found.shape[0] == 4 and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.allclose(found[0], found[3], atol=1e-5)


def test_nothing_is_downloaded_unasked(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    assert find_embeddings(settings(), 10) is None
    with pytest.raises(InputError, match="nowhere"):
        find_embeddings(settings(encoder=str(tmp_path / "nowhere")), 10)


def test_the_doctor_embeds_and_writes_a_review_file(encoder, tmp_path):
    data = write_rows(tmp_path / "rows.jsonl", labeled_rows(150, flips=12)[0])
    given = {"data_files": str(data), "encoder": str(encoder), "output_path": str(tmp_path / "out")}
    found = diagnose_data(settings(**given, checks=("wrong_labels",)))
    assert "TF-IDF and embeddings" in found.findings[0].why
    lines = (tmp_path / "out" / "review.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["line"] for line in lines] == [origin.line for origin in found.findings[0].rows]
    with pytest.raises(InputError, match=r"review\.jsonl"):
        diagnose_data(settings(**given))


@pytest.mark.real
def test_the_default_encoder_is_used_where_it_is_there():
    from graft.models.embedded import fetch
    from graft.progress import SILENT

    fetch(ENCODER, SILENT)
    like, unlike = "What a wonderful day!", "The invoice is due in March."
    assert find_embeddings(settings(), 10**6) is None, "it takes half a gigabyte"
    found = find_embeddings(settings(), 10)(["What a lovely morning!", like, unlike])
    assert found[0] @ found[1] > found[0] @ found[2] + 0.3
