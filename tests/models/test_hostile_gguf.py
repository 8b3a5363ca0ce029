"""GGUF files that somebody else made: lengths, types and nesting are refused before a library believes them."""

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from graft.errors import InputError
from graft.models import gguf_scan
from graft.models.gguf_reader import read_header
from graft.models.gguf_scan import GgufArray, scan
from tiny_models import tiny_gguf


def text(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def value(key: str | bytes, kind: int, data: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + data


def number(key: str, found: int) -> bytes:
    return value(key, 4, struct.pack("<I", found))


def array(kind: int, length: int, data: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, length) + data


def tensor(name: str, shape: Sequence[int], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def made(folder: Path, *values: bytes, tensors: Sequence[bytes] = (), counts: tuple[int, int] | None = None) -> Path:
    llama = value("general.architecture", 8, text("llama"))
    fields = [llama, *values]
    file = folder / "made.gguf"
    head = b"GGUF" + struct.pack("<IQQ", 3, *(counts or (len(tensors), len(fields))))
    file.write_bytes(head + b"".join([*fields, *tensors]) + bytes(4096))
    return file


HOSTILE = {
    "many values": (b"", {"counts": (0, 2**40)}, "declares 1,099,511,627,776 keys"),
    "many tensors": (b"", {"counts": (2**40, 1)}, "declares 1,099,511,627,776 tensors"),
    "huge array": (value("a", 9, array(4, 2**40)), {}, "an array of 1,099,511,627,776 elements"),
    "huge texts": (value("a", 9, array(8, 2**40)), {}, "an array of 1,099,511,627,776 elements"),
    "array beyond the file": (value("a", 9, array(4, 2_000_000)), {}, "cut short"),
    "deep arrays": (value("a", 9, array(9, 1) * 200_000), {}, "nested too deeply"),
    "long text": (value("a", 8, struct.pack("<Q", 2**60)), {}, "a text of 1,152,921,504,606,846,976 bytes"),
    "long key": (struct.pack("<Q", 2**63), {}, "a text of"),
    "no UTF-8": (value("a", 8, text(b"\xff")), {}, "not UTF-8"),
    "key of no UTF-8": (value(b"\xff", 8, text("a")), {}, "not UTF-8"),
    "token of no UTF-8": (value("tokenizer.ggml.tokens", 9, array(8, 1, text(b"\xff"))), {}, "not UTF-8"),
    "twice": (number("a", 1) + number("a", 1), {"counts": (0, 3)}, "the key 'a' twice"),
    "unknown type": (value("a", 99, b""), {}, "unknown type 99"),
    "empty dimension": (b"", {"tensors": [tensor("t", [0, 4])]}, "'t' has the shape"),
    "huge dimension": (b"", {"tensors": [tensor("t", [2**32, 2**32, 2**32])]}, "'t' has the shape"),
    "many dimensions": (b"", {"tensors": [tensor("t", [1] * 9)]}, "has 9 dimensions"),
    "offset": (b"", {"tensors": [tensor("t", [4], offset=2**62)]}, "'t' has the shape"),
    "tensor twice": (b"", {"tensors": [tensor("t", [4]), tensor("t", [4])]}, "two tensors have the name 't'"),
    "over one another": (b"", {"tensors": [tensor(f"t{n}", [900]) for n in range(9)]}, "its tensors need"),
    "number format": (b"", {"tensors": [tensor("t", [4], kind=4)]}, "unknown type 4"),
    "half a block": (b"", {"tensors": [tensor("t", [33], kind=2)]}, "'t' has the shape"),
    "alignment": (number("general.alignment", 0), {}, "alignment is 0"),
    "a name that is a number": (number("general.name", 7), {}, "general.name is 7"),
    "a billion layers": (number("llama.block_count", 10**9), {}, "llama.block_count is 1000000000"),
    "more layers than tensors": (
        number("llama.block_count", 30) + number("llama.embedding_length", 32),
        {"counts": (0, 3)},
        "llama.block_count is 30, but there are tensors of 0 layers",
    ),
    "no layers": (number("llama.embedding_length", 32), {}, "the key llama.block_count is missing"),
    "no width": (number("llama.block_count", 2), {}, "the key llama.embedding_length is missing"),
    "a huge width": (number("llama.embedding_length", 2**31), {}, "llama.embedding_length is 2147483648"),
    "layers as text": (value("llama.block_count", 8, text("x")), {}, "llama.block_count is 'x'"),
    "an ID without a token": (
        number("tokenizer.ggml.eos_token_id", 5),
        {},
        "eos_token_id is 5, but there are 0",
    ),
    "tokens as numbers": (value("tokenizer.ggml.tokens", 9, array(4, 1, bytes(4))), {}, "not an array of texts"),
    "types without tokens": (value("tokenizer.ggml.token_type", 9, array(5, 1, bytes(4))), {}, "each of 0 tokens"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_header_is_not_believed(tmp_path: Path, name: str) -> None:
    """Seen: arrays of 2**40 elements, and some that were nested 200,000 times, kept it busy for hours."""
    data, more, said = HOSTILE[name]
    file = made(tmp_path, *([data] if data else []), **more)  # type: ignore[arg-type]
    with pytest.raises(InputError) as caught:
        read_header(file)
    assert said in str(caught.value) and str(file) in str(caught.value)


def test_a_whole_file_is_gone_through_as_the_library_reads_it(tmp_path: Path) -> None:
    from gguf import GGUFReader

    file = tiny_gguf(tmp_path / "tiny.gguf")
    header, library = scan(file), GGUFReader(file)
    assert header.tensors == {one.name: tuple(map(int, one.shape)) for one in library.tensors}
    assert header.values["general.architecture"] == "llama" and header.values["llama.block_count"] == 2
    tokens = library.fields["tokenizer.ggml.tokens"].contents()
    assert header.values["tokenizer.ggml.tokens"] == GgufArray(str, len(tokens))


def test_the_number_of_elements_is_bounded_over_all_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_scan, "MOST_ELEMENTS", 100)
    each = [value(f"a{n}", 9, array(0, 60, bytes(60))) for n in range(2)]
    assert scan(made(tmp_path, each[0])).values["a0"] == GgufArray(int, 60)
    with pytest.raises(InputError, match="an array of 60 elements"):
        scan(made(tmp_path, *each))
