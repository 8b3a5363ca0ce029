"""``graft models``: base models side by side, from the catalog or from their own files; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graft.errors import InputError, Problems, did_you_mean
from graft.export.outlook import export_outlook
from graft.models.catalog import find_in_catalog, names_of, read_catalog
from graft.models.facts import ModelFacts, catalog_facts, folder_facts, gguf_facts
from graft.models.license_terms import Terms, terms_of
from graft.planning.model_needs import ModelNeeds, model_needs
from graft.runs.kind import FolderKind, folder_kind, what_to_do
from graft.runs.manifest import read_bundle, read_run


@dataclass(frozen=True)
class DescribedModel:
    """A model with what follows from its facts.

    Attributes:
        facts: What is known of it.
        terms: What its license allows.
        needs: What it takes; None where its size is not known.
        exports: By format, None where it exports, otherwise why not.
    """

    facts: ModelFacts
    terms: Terms
    needs: ModelNeeds | None
    exports: dict[str, str | None]

    def document(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        facts, entry, needs = self.facts, self.facts.catalog, self.needs
        return {
            "name": facts.name,
            "id": entry.id if entry else None,
            "embedded": entry.embedded if entry else None,
            "source": facts.source,
            "looked_up": entry.looked_up if entry else None,
            "kind": facts.kind,
            "architecture": facts.model_type,
            "parameters": facts.parameters,
            "context_tokens": facts.context,
            "languages": None if facts.languages is None else list(facts.languages),
            "language_count": facts.language_count,
            "license": facts.license,
            "license_name": self.terms.name,
            "commercial_use": self.terms.commercial,
            "commercial_terms": self.terms.sentence,
            "gated": facts.gated,
            "number_format": facts.number_format,
            "bytes_on_disk": facts.bytes_on_disk,
            "chat_template": facts.chat_template,
            "engine": needs.engine if needs else None,
            "training_mb": {"lora": needs.lora_mb, "qlora": needs.qlora_mb, "full": needs.full_mb} if needs else None,
            "int4_bundle_mb": needs.bundle_mb if needs else None,
            "running_mb": needs.run_mb if needs else None,
            "exports": [name for name, reason in self.exports.items() if reason is None],
            "no_export_because": {name: reason for name, reason in self.exports.items() if reason is not None},
            "notes": list(facts.notes),
        }


@dataclass(frozen=True)
class Wanted:
    """What models must be like.

    Attributes:
        fits_mb: LoRA must train within this memory.
        license: ``commercial``, or a license's name.
        language: An ISO 639-1 code.
    """

    fits_mb: float | None = None
    license: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class ModelList:
    """The models that are shown, and how many were left out since something of them is not known."""

    models: list[DescribedModel]
    unknown: int = 0


def models(names: Sequence[str] = (), wanted: Wanted | None = None) -> ModelList:
    """Describe models.

    Args:
        names: Folders, ``.gguf`` files, runs, bundles, embedded names, or names in the catalog; none for the whole
            catalog.
        wanted: What they must be like.

    Raises:
        InputError: With every name that is unknown, and every folder that cannot be read.
    """
    wanted = wanted or Wanted()
    problems = Problems()
    found: list[ModelFacts] = [catalog_facts(model) for model in read_catalog()] if not names else []
    for name in names:
        with problems.collecting():
            found.append(facts_of(name))
    _check_wanted(wanted, found, problems)
    problems.raise_if_any()
    described = [describe(facts) for facts in found]
    verdicts = [_verdict(model, wanted) for model in described]
    kept = [model for model, verdict in zip(described, verdicts, strict=True) if verdict]
    return ModelList(kept, verdicts.count(None))


def describe(facts: ModelFacts) -> DescribedModel:
    """Add to facts what follows from them."""
    config = facts.text_config
    config["model_type"] = facts.model_type  # a wrapper's own, by which the engine and the exports go
    sized = facts.parameters is not None and len(config) > 2
    needs = model_needs(config, facts.parameters or 0, facts.kind) if sized else None
    exports = export_outlook(config, facts.kind, by_type=facts.catalog is not None)
    return DescribedModel(facts, terms_of(facts.license), needs, exports)


def facts_of(name: str) -> ModelFacts:
    """Return what is known of a model by its path, or its name in the catalog.

    Raises:
        InputError: If there is none, or its files are damaged.
    """
    path = Path(name).expanduser()
    kind = folder_kind(path)
    if kind is FolderKind.FILE and path.suffix.lower() == ".gguf":
        return gguf_facts(path)
    if kind is FolderKind.MODEL:
        files = sorted(path.glob("*.gguf"))
        return gguf_facts(files[0]) if len(files) == 1 and not (path / "config.json").exists() else folder_facts(path)
    if kind is FolderKind.RUN:
        return _of_run(path)
    if kind is FolderKind.BUNDLE:
        return _of_bundle(path)
    known = find_in_catalog(name) if kind is FolderKind.MISSING else None
    if known is not None:
        return catalog_facts(known)
    if kind is FolderKind.MISSING:
        raise _unknown(name)
    raise InputError(f"this is {kind.value}, not a model", where=name, remedy=what_to_do(kind, path))


def _of_run(path: Path) -> ModelFacts:
    manifest = read_run(path)
    facts = folder_facts(path / "model")
    license = manifest.base.license if manifest.base else None
    said = f"a run that tuned {manifest.base.name}" if manifest.base else "a run"
    return _renamed(facts, path, license, said)


def _of_bundle(path: Path) -> ModelFacts:
    manifest = read_bundle(path)
    license = manifest.base.license if manifest.base else None
    said = f"a bundle: {manifest.title or manifest.target}, {manifest.precision or 'unknown precision'}"
    if (path / "config.json").is_file() and (path / "model.safetensors").is_file():
        return _renamed(folder_facts(path), path, license, said)
    files = sorted(path.glob("*.gguf"))
    if files:
        return _renamed(gguf_facts(files[0]), path, license, said)
    size = None if manifest.size_mb is None else round(manifest.size_mb * 1e6)
    return ModelFacts(
        path.resolve().name,
        str(path),
        None,
        "causal",
        license=license,
        number_format=manifest.precision,
        bytes_on_disk=size,
        notes=(said,),
    )


def _renamed(facts: ModelFacts, path: Path, license: str | None, note: str) -> ModelFacts:
    name, kept = path.resolve().name, facts.license or license
    return replace(facts, name=name, source=str(path), license=kept, notes=(note, *facts.notes))


def _unknown(name: str) -> InputError:
    names = [each for model in read_catalog() for each in names_of(model)]
    near = did_you_mean(name.lower(), names)
    remedy = f"{near} " if near else ""
    return InputError(
        f"there is no folder or file {name!r} here, and the catalog has no such model",
        remedy=f"{remedy}`graft models` lists the catalog; `graft show {name}` asks the Hub",
    )


def _check_wanted(wanted: Wanted, found: Iterable[ModelFacts], problems: Problems) -> None:
    if wanted.license not in (None, "commercial"):
        licenses = {facts.license for facts in found if facts.license}
        known = licenses | {terms_of(license).name for license in licenses}
        if str(wanted.license).lower() not in {name.lower() for name in known}:
            near = did_you_mean(str(wanted.license), ["commercial", *known])
            what = f"no model here has the license {wanted.license!r}"
            problems.add(what, "--license", near or f"commercial, or one of {', '.join(sorted(known))}")
    if wanted.language is not None and not (len(wanted.language) == 2 and wanted.language.isalpha()):
        what = f"{wanted.language!r} is not a language code of two letters"
        problems.add(what, "--language", "give an ISO 639-1 code, such as de for German")


def _verdict(model: DescribedModel, wanted: Wanted) -> bool | None:
    """Whether a model is as wanted; None where that is not known."""
    verdicts = [_fits(model, wanted.fits_mb), _licensed(model, wanted.license), _speaks(model, wanted.language)]
    return False if False in verdicts else None if None in verdicts else True


def _fits(model: DescribedModel, limit: float | None) -> bool | None:
    if limit is None:
        return True
    return None if model.needs is None else model.needs.lora_mb <= limit


def _licensed(model: DescribedModel, wanted: str | None) -> bool | None:
    if wanted is None:
        return True
    if wanted == "commercial":
        allows = model.terms.commercial
        return None if allows == "unknown" else allows != "no"
    names = {model.terms.name.lower(), (model.facts.license or "").lower()}
    return wanted.lower() in names if model.facts.license else None


def _speaks(model: DescribedModel, language: str | None) -> bool | None:
    if language is None:
        return True
    named = model.facts.languages
    if named is not None and language.lower() in named:
        return True
    complete = named is not None and model.facts.language_count == len(named)
    return False if complete else None
