import ctypes
import shutil
import subprocess

import pytest
import torch

from graft.engine.kernels import Kernels, kernels
from graft.engine.kernels.build import _sources
from graft.engine.kernels.signatures import SIGNATURES
from graft.engine.kernels.structs import layout_difference, layouts

pytestmark = pytest.mark.skipif(kernels() is None, reason="there is no C++ compiler here")


def compiled_layouts(folder, change=lambda text: text):
    """A library that reports the layouts of structs.h alone, with this change."""
    for path, text in _sources().items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(change(text) if path == "structs.h" else text, encoding="utf-8")
    library = folder / "abi.so"
    command = [shutil.which("g++") or "clang++", "-std=c++17", "-shared", "-fPIC", str(folder / "abi.cpp")]
    subprocess.run([*command, "-o", str(library)], check=True)
    return library


@pytest.mark.parametrize(
    ("before", "after", "struct"),
    [
        ("uint32_t threshold = 0;\n    float scale = 1;", "float scale = 1;\n    uint32_t threshold = 0;", "Dropout"),
        ("int32_t n, rank;", "int64_t n, rank;", "LoraLayer"),
        ("float *grad_a, *grad_b;", "float *grad_a, *grad_b, *grad_c;", "LoraLayer"),
        ("COMPUTE_INT8, COMPUTE_BFLOAT16", "COMPUTE_BFLOAT16, COMPUTE_INT8", "Compute"),
    ],
)
def test_a_structure_that_drifted_is_noticed_at_load(before, after, struct, tmp_path):
    def change(text):
        assert before in text
        return text.replace(before, after)

    with pytest.raises(OSError, match=f"differ from the declared ones: Python has '{struct} "):
        Kernels(compiled_layouts(tmp_path, change))


def test_structures_as_they_are_load(tmp_path):
    assert Kernels(compiled_layouts(tmp_path)).has("kernel_abi")
    assert layout_difference("\n".join(layouts())) is None
    assert "layouts" in layout_difference("\n".join(layouts()[:-1]))


def test_every_function_for_any_processor_is_declared_and_there():
    for name in SIGNATURES:
        if not name.startswith(("gemm_", "lora_group_", "decoder_layer_")):
            assert kernels().has(name), name


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((7, torch.ones(7), torch.ones(7), torch.ones(7).double()), "float32 is expected, not torch.float64"),
        ((7, torch.ones(7), torch.ones(7), torch.ones(14)[::2]), "contiguous"),
        ((7, torch.ones(7), torch.ones(7), torch.ones(7, device="meta")), "not torch.float32 on meta"),
        ((7.0, torch.ones(7), torch.ones(7), torch.ones(7)), "argument 1"),
        ((7, torch.ones(7), torch.ones(7), 1234), "not 1234"),
    ],
)
def test_a_wrong_argument_is_an_error(arguments, problem):
    with pytest.raises(ctypes.ArgumentError, match=problem):
        kernels()("swiglu_forward", torch.float32, *arguments)


def test_too_few_arguments_are_an_error():
    with pytest.raises(TypeError, match="4 arguments"):
        kernels()("swiglu_forward", torch.float32, 7, torch.ones(7))
