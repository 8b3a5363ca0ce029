"""Every method, tied or not, with every head, in every format: the logits of the model that was judged, or a reason.

``PYTHONPATH=tests python tests/export/test_matrix.py`` measures all of it and writes the tables of
docs/explanation/export-parity.md.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from export_matrix import BASES, BOUND, FORMATS, Base, Case, Tuned, measure

pytest.importorskip("onnxruntime_genai")
pytest.importorskip("onnxscript")

DOCS = Path(__file__).parents[2] / "docs" / "explanation" / "export-parity.md"
TITLES = {"causal": "Causal models", "family": "Other layers", "head": "Heads"}
LINES = [(kind, base, case) for kind, bases in BASES.items() for base in bases for case in base.cases]
NAMES = [f"{base.title}: {case.title}, {case.where}" for _, base, case in LINES]
SLOW = {"head": {"ONNX"}}
"""torch.onnx takes ten seconds a model."""

NO_CHANGE = "cannot be merged for export: networks with a non-linearity are no change of a weight"
NOT_BUILT = "does not support the architecture"


def refusal(base: Base, case: Case, format: str) -> str | None:
    """What the error says where a format is refused; None where the logits have to be the same."""
    swappable = _not_swappable(case) if format == "ONNX, hot-swappable" else None
    if swappable is None and case.method == "adapters":
        return NO_CHANGE
    return swappable or (NOT_BUILT if base.title == "gpt2" and format.startswith("ONNX") else None)


def _not_swappable(case: Case) -> str | None:
    reasons = {
        "this model has no adapter": case.method == "full",
        "is not LoRA and cannot be hot-swappable": case.method not in {"full", "lora", "qlora"},
        "it rescales the weights of the base": case.title == "DoRA",
        "an adapter that replaces whole layers": "whole" in case.where,
        "it changes the embeddings": bool(case.new_tokens),
        "they are looked up, not multiplied": case.where.endswith("embeddings"),
        "int4 weights that it was trained on": case.method == "qlora",
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Base], Path]:
    """Makes a base once."""
    folders: dict[str, Path] = {}

    def folder(base: Base) -> Path:
        if base.title not in folders:
            folders[base.title] = base.make(tmp_path_factory.mktemp("base"))
        return folders[base.title]

    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "base", "case"), LINES, ids=NAMES)
def test_logits_of_the_model_that_was_judged(
    made: Callable[[Base], Path], tmp_path: Path, kind: str, base: Base, case: Case
) -> None:
    tuned = Tuned(made(base), case, tmp_path, base.prompts)
    assert tuned.effect > 100 * BOUND
    for name, format in FORMATS[kind].items():
        if name not in SLOW.get(kind, ()):
            _check(measure(tuned, format), refusal(base, case, name), name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "base", "case"),
    [line for line in LINES if line[0] in SLOW],
    ids=[name for name, line in zip(NAMES, LINES, strict=True) if line[0] in SLOW],
)
def test_logits_of_encoders_in_onnx(
    made: Callable[[Base], Path], tmp_path: Path, kind: str, base: Base, case: Case
) -> None:
    tuned = Tuned(made(base), case, tmp_path, base.prompts)
    for name in SLOW[kind]:
        _check(measure(tuned, FORMATS[kind][name]), refusal(base, case, name), name)


def _check(found: float | str, expected: str | None, name: str) -> None:
    if isinstance(found, str):
        assert expected is not None and expected in found, f"{name}: {found}"
    else:
        assert expected is None and found <= BOUND, f"{name}: {found}"


def test_the_tables_in_the_docs_are_of_these_cells() -> None:
    """Figures differ from processor to processor, so they are held to the bound; reasons are the same everywhere."""
    lines = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    listed = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rows = [row for row in listed if row[0] not in {"model", "reason"} and not row[0].startswith("(")]
    reasons = {row[0]: row[1] for row in listed if row[0].startswith("(")}
    assert [row[:3] for row in rows] == [[base.title, case.title, case.where] for _, base, case in LINES]
    for (kind, base, case), (effect, *cells) in zip(LINES, (row[3:] for row in rows), strict=True):
        assert float(effect) > 100 * BOUND
        for name, cell in zip(FORMATS[kind], cells, strict=True):
            expected = refusal(base, case, name)
            if expected is None:
                assert float(cell) <= BOUND
            else:
                assert expected in reasons[cell.removeprefix("refused ")]


def tables() -> str:
    """All of it, measured."""
    parts, reasons = [], {}
    with tempfile.TemporaryDirectory() as name:
        for kind, bases in BASES.items():
            rows = [row for base in bases for row in _rows(Path(name), kind, base, reasons)]
            heads = ["model", "method", "tuned", "effect", *FORMATS[kind]]
            parts.append(f"## {TITLES[kind]}\n\n{_table(heads, rows)}")
    listed = [[number, reason] for reason, number in reasons.items()]
    parts.append(f"## Why some are refused\n\n{_table(['reason', 'message'], listed)}")
    return "\n\n".join(parts)


def _rows(root: Path, kind: str, base: Base, reasons: dict[str, str]) -> list[list[str]]:
    folder, rows = base.make(root / f"{kind}-{base.title}"), []
    for number, case in enumerate(base.cases):
        tuned = Tuned(folder, case, root / f"{base.title}-{number}", base.prompts)
        cells = [_cell(measure(tuned, format), reasons) for format in FORMATS[kind].values()]
        rows.append([base.title, case.title, case.where, f"{tuned.effect:.2g}", *cells])
    return rows


def _cell(found: float | str, reasons: dict[str, str]) -> str:
    if isinstance(found, float):
        return f"{found:.1e}"
    said = re.sub(r"type \w+", "this type", re.sub(r" \(\w+\)", "", found))
    return f"refused {reasons.setdefault(said, f'({len(reasons) + 1})')}"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines).replace("| --- ", "|---").replace("|---|", "|---|")


if __name__ == "__main__":
    page = DOCS.read_text(encoding="utf-8")
    DOCS.write_text(f"{page.partition('## Causal models')[0]}{tables()}\n", encoding="utf-8")
