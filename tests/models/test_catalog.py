"""The catalog of models: its entries agree with transformers, with SPDX, and with what graft exports."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from packaging.licenses import canonicalize_license_expression
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from graft.errors import InputError
from graft.export.outlook import export_outlook
from graft.models.catalog import CatalogModel, find_in_catalog, names_of, read_catalog
from graft.models.embedded import EMBEDDED
from graft.models.license_terms import _OWN, _SPDX, terms_of
from graft.models.load import kind_of
from graft.runs.record import validate

CATALOG = read_catalog()
CLASSES: dict[str, Any] = {
    "causal": AutoModelForCausalLM,
    "encoder": AutoModel,
    "encoder-decoder": AutoModelForSeq2SeqLM,
}


def on_meta(config: dict[str, Any], kind: str) -> Any:
    """A model of this configuration without memory."""
    with torch.device("meta"):
        return CLASSES[kind].from_config(AutoConfig.for_model(**config))


@pytest.mark.parametrize("model", CATALOG, ids=lambda model: model.name)
def test_the_parameters_are_those_of_a_model_of_these_sizes(model: CatalogModel) -> None:
    if model.config is None:
        pytest.skip("its sizes are not known")
    built = on_meta(model.config, model.kind)
    untied = model.config.get("tie_word_embeddings") is False and model.kind == "encoder-decoder"
    head = built.lm_head.weight.numel() if untied else 0  # transformers 5 ties it until the weights are read
    assert built.num_parameters() + head == model.parameters


def test_most_entries_have_sizes_to_check() -> None:
    assert len(CATALOG) >= 30
    assert sum(model.config is None for model in CATALOG) <= 2


@pytest.mark.parametrize("model", CATALOG, ids=lambda model: model.name)
def test_an_entry_names_what_others_know(model: CatalogModel) -> None:
    assert model.model_type in CONFIG_MAPPING_NAMES
    assert kind_of({"model_type": model.model_type, "is_encoder_decoder": model.model_type == "t5"}) == model.kind
    assert model.source == f"https://huggingface.co/{model.id}"
    terms = terms_of(model.license)
    assert model.license in _OWN or canonicalize_license_expression(terms.name) == terms.name
    assert terms.commercial != "unknown"
    assert model.languages is None or model.languages == sorted(set(model.languages))
    assert model.language_count is None or model.language_count >= len(model.languages or ())
    assert model.embedded is None or model.embedded in EMBEDDED


@pytest.mark.parametrize("model", CATALOG, ids=lambda model: model.name)
def test_the_quick_word_on_gguf_is_that_of_the_whole_configuration(model: CatalogModel) -> None:
    config = {**(model.config or {}), "model_type": model.model_type}
    quick, thorough = export_outlook(config, model.kind, by_type=True), export_outlook(config, model.kind)
    assert quick == thorough


def test_every_name_finds_one_model() -> None:
    names = [name for model in CATALOG for name in names_of(model)]
    unlike = {name for name in names if names.count(name) > 1} - set(EMBEDDED)
    assert not unlike
    assert find_in_catalog("QWEN/qwen3-0.6b") is find_in_catalog("Qwen3-0.6B")
    assert find_in_catalog("all-minilm-l6-v2") is not None
    assert find_in_catalog("no-such-model") is None


def test_an_entry_with_an_unknown_key_or_a_long_language_is_refused() -> None:
    entry = CATALOG[0].document()
    assert validate(CatalogModel, entry, "catalog.json").id == CATALOG[0].id
    for wrong in ({"licence": "mit"}, {"languages": ["english"]}, {"source": "a card"}, {"parameters": "135M"}):
        with pytest.raises(InputError):
            validate(CatalogModel, {**entry, **wrong}, "catalog.json")


def test_the_table_of_licenses_has_spdx_identifiers() -> None:
    """A deprecated identifier, such as GPL-3.0, is one all the same: model cards use it."""
    assert len(_SPDX) > 40
    for key, terms in _SPDX.items():
        assert canonicalize_license_expression(key) == terms.name


@pytest.mark.parametrize(
    ("license", "name", "allows"),
    [
        ("apache-2.0", "Apache-2.0", "yes"),
        ("gpl-3.0-or-later", "GPL-3.0", "conditions"),
        ("cc-by-nc-4.0", "CC-BY-NC-4.0", "no"),
        ("cc-by-nd-4.0", "CC-BY-ND-4.0", "conditions"),
        ("llama3.2", "Llama 3.2 Community License", "conditions"),
        ("gemma", "Gemma Terms of Use", "conditions"),
        ("qwen-research", "Qwen Research License", "no"),
        ("apache-2.0, cc-by-nc-4.0", "Apache-2.0, CC-BY-NC-4.0", "no"),
        ("apache-2.0, house-rules", "Apache-2.0, house-rules", "unknown"),
        ("MIT OR CC-BY-NC-4.0", "MIT OR CC-BY-NC-4.0", "yes"),
        ("(MIT AND CC-BY-NC-4.0)", "MIT, CC-BY-NC-4.0", "no"),
        ("house-rules", "house-rules", "unknown"),
        ("unknown", "unknown", "unknown"),
        ("", "unknown", "unknown"),
        (None, "unknown", "unknown"),
    ],
)
def test_what_a_license_allows(license: str | None, name: str, allows: str) -> None:
    terms = terms_of(license)
    assert (terms.name, terms.commercial) == (name, allows)


def test_the_strictest_of_several_licenses_is_named() -> None:
    assert terms_of("apache-2.0, cc-by-nc-4.0").sentence == "CC-BY-NC-4.0: no commercial use"
