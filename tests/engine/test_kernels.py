import math
import os
import random
import shutil
import subprocess
import sys

import pytest
import torch

from graft.engine import QUANTIZED_WEIGHTS
from graft.engine.autograd import AttentionScores, attention, rms_norm, swiglu
from graft.engine.kernels import kernels, kernels_for
from graft.engine.lora_products import lora_backward_b, lora_down, lora_grad_a
from graft.engine.matmul import LoraEpilogue, matmul
from graft.engine.packing import Node, lay_out
from graft.engine.quantized_rows import dequantize, quantize_rows

pytestmark = pytest.mark.skipif(kernels() is None, reason="there is no C++ compiler here")


@pytest.fixture
def chance():
    return random.Random(0)


def forest(chance):
    """A root, groups below it, rows below those; who sees whom, as a matrix."""
    root = [Node([1] * 5)]
    groups = [Node([1] * chance.randrange(1, 9)) for _ in range(3)]
    leaves = [Node([1] * chance.randrange(1, 40), chance.randrange(3)) for _ in range(6)]
    tokens, positions, layout = lay_out([root, groups, leaves])
    sees = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
    spans = layout.spans.tolist()
    for start, stop, below in spans:
        parent = below
        sees[start:stop, start:stop] = torch.ones(stop - start, stop - start).tril().bool()
        while parent >= 0:
            first, last, parent = spans[parent]
            sees[start:stop, first:last] = True
    return torch.tensor(positions), sees, layout


def plainly(q, k, v, sees, scale, cap):
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, 1) for x in (k, v))
    scores = torch.einsum("thd,shd->hts", q, k) * scale
    scores = cap * torch.tanh(scores / cap) if cap else scores
    return torch.einsum("hts,shd->thd", scores.masked_fill(~sees, -math.inf).softmax(-1), v)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize(("cap", "window"), [(0.0, 0), (2.0, 0), (0.0, 7), (1.5, 3)])
@pytest.mark.parametrize(("heads", "keys", "d"), [(4, 2, 16), (3, 1, 64), (2, 2, 10)])
def test_attention_and_its_gradients(kind, cap, window, heads, keys, d, chance):
    positions, sees, layout = forest(chance)
    if window:
        sees = sees & (positions[None, :] > positions[:, None] - window)
    torch.manual_seed(0)
    shapes = [(len(positions), n, d) for n in (heads, keys, keys)]
    inputs = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    grad = torch.randn(shapes[0], dtype=torch.float64)
    wanted = [x.clone().requires_grad_() for x in inputs]
    expected = plainly(*wanted, sees, 0.3, cap)
    expected.backward(grad)
    given = [x.to(kind).requires_grad_() for x in inputs]
    found = attention(*given, layout, AttentionScores(0.3, cap, window))
    found.backward(grad.to(kind))
    near = {"rtol": 1e-5, "atol": 1e-5 if kind == torch.float32 else 1e-12}
    torch.testing.assert_close(found.double(), expected, **near)
    for one, other in zip(given, wanted, strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, **near)


def test_the_number_of_threads_changes_no_answer(chance):
    _, _, layout = forest(chance)
    tokens = len(layout.positions)
    q, k, v = torch.randn(tokens, 4, 32), torch.randn(tokens, 2, 32), torch.randn(tokens, 2, 32)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(attention(q, k, v, layout, AttentionScores(0.2)))
    torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_norms_and_gates(kind):
    torch.manual_seed(0)
    x, weight = torch.randn(7, 50, dtype=kind), torch.randn(50, dtype=kind)
    up = torch.randn(7, 50, dtype=kind)
    x[2, 3], x[1, 1], x[4, 4] = 200, -200, 0
    cases = [
        (lambda a, _: rms_norm(a, weight, 1e-5), lambda a, _: torch.nn.functional.rms_norm(a, (50,), weight, 1e-5)),
        (swiglu, lambda a, b: torch.nn.functional.silu(a) * b),
    ]
    for one, other in cases:
        gradients = []
        for function in (one, other):
            inputs = [x.clone().requires_grad_(), up.clone().requires_grad_()]
            y = function(*inputs)
            (y * torch.arange(50)).sum().backward()
            gradients.append([y.detach(), *[i.grad for i in inputs if i.grad is not None]])
        for found, expected in zip(*gradients, strict=True):
            torch.testing.assert_close(found, expected, rtol=2e-6, atol=1e-5)


def test_numbers_that_are_not_stay_so():
    x = torch.ones(2, 40)
    x[0, 3] = math.nan
    assert swiglu(x, x).isnan().sum() == 1
    assert rms_norm(x, torch.ones(40), 1e-5).isnan().any(dim=1).tolist() == [True, False]


def test_int8_codes_are_what_their_definition_says():
    torch.manual_seed(0)
    rows = torch.randn(9, 77) * torch.logspace(-3, 3, 9)[:, None]
    rows[4] = 0
    made = quantize_rows(rows, kernels())
    codes, scales = made.values, made.scales
    torch.testing.assert_close(scales[:, 0], rows.abs().amax(1).clamp_min(1e-30) / 127)
    assert (codes.float() * scales - rows).abs().le(scales * 0.5001).all()
    assert codes.abs().amax(1).tolist() == [127] * 4 + [0] + [127] * 4
    sums, columns = torch.randint(-(2**20), 2**20, (9, 12), dtype=torch.int32), torch.rand(12)
    expected = sums * scales * columns
    torch.testing.assert_close(dequantize(sums, scales, columns, kernels()), expected)
    torch.testing.assert_close(
        dequantize(sums, scales, columns, kernels(), torch.ones(9, 12)), expected + 1, rtol=1e-5, atol=1e-5
    )


def test_they_serve_floats_of_one_type_on_the_cpu(monkeypatch):
    assert kernels_for(torch.ones(1), torch.ones(1)) is not None
    assert kernels_for(torch.ones(1), torch.ones(1).double()) is None
    assert kernels_for(torch.ones(1).bfloat16()) is None
    assert kernels_for(torch.ones(1, device="meta")) is None
    monkeypatch.setenv("GRAFT_KERNELS", "0")
    assert kernels_for(torch.ones(1)) is None


@pytest.mark.parametrize("rows", [3, 100, 301])
@pytest.mark.parametrize(("n", "k"), [(24, 40), (80, 50), (80, 48), (48, 4100), (64, 4112)])
def test_products_by_whichever_library(rows, n, k):
    """The compiled kernels take 301 rows and all but 24 outputs, by matrix tiles (AMX) where k is a multiple of 16;
    oneDNN takes 100 rows; the rest goes to torch.mm.
    """
    torch.manual_seed(0)
    x, weight, more = torch.randn(rows, k), torch.randn(n, k), torch.randn(rows, n)
    wide, narrow = torch.randn(rows, 48), torch.randn(n, 16)
    near = {"rtol": 1e-5, "atol": 2e-4 if k > 1000 else 2e-5}
    exact = x.double() @ weight.double().t()
    lora = LoraEpilogue(wide[:, 16:32], narrow.t(), 0.5)
    low = 0.5 * wide[:, 16:32].double() @ narrow.double().t()
    for given in (weight, weight.t().contiguous().t()):
        torch.testing.assert_close(matmul(x, given), exact.float(), **near)
        torch.testing.assert_close(matmul(x, given, more.clone()), (exact + more).float(), **near)
        torch.testing.assert_close(matmul(x, given, None, lora), (exact + low).float(), **near)
        torch.testing.assert_close(matmul(x, given, more.clone(), lora), (exact + more + low).float(), **near)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize(("tokens", "n", "ranks"), [(1, 32, 16), (77, 48, 48), (200, 64, 16)])
def test_narrow_products_and_the_codes_on_the_way(kind, tokens, n, ranks):
    torch.manual_seed(0)
    x, a, b = torch.randn(tokens, n, dtype=kind), torch.randn(ranks, n, dtype=kind), torch.randn(n, ranks, dtype=kind)
    near = {"rtol": 1e-5, "atol": 1e-4 if kind == torch.float32 else 1e-12}
    weight = QUANTIZED_WEIGHTS["int8"](torch.randn(32, n)) if kind == torch.float32 else None
    h, codes = lora_down(x, a, weight)
    torch.testing.assert_close(h, x @ a.t(), **near)
    torch.testing.assert_close(lora_grad_a(h, x), h.t() @ x, **near)
    wide, g = torch.randn(tokens, 3 * ranks, dtype=kind), torch.zeros(tokens, 3 * ranks, dtype=kind)
    one = slice(ranks, 2 * ranks)
    grad_b, others = lora_backward_b(x, b, wide[:, one], 0.25, g[:, one], weight)
    torch.testing.assert_close(grad_b, 0.25 * x.t() @ wide[:, one], **near)
    torch.testing.assert_close(g[:, one], 0.25 * x @ b, **near)
    assert g.count_nonzero() == tokens * ranks
    if weight is not None:
        prepared = weight.quantize(x)
        for found in (codes, others):
            assert torch.equal(found.values, prepared.values) and torch.equal(found.scales, prepared.scales)


def test_a_compiler_that_fails_is_done_without(tmp_path):
    code = (
        "import logging; logging.basicConfig(level=20)\n"
        "from graft.engine.kernels import kernels; assert kernels() is None"
    )
    environment = {**os.environ, "CXX": sys.executable, "GRAFT_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "was not compiled" in done.stderr
    assert not list(tmp_path.rglob("*.so"))


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here")
def test_the_c_driver_links_the_library_of_c_plus_plus(tmp_path):
    code = "import logging; logging.basicConfig(level=20)\nfrom graft.engine.kernels import kernels; assert kernels()"
    environment = {**os.environ, "CXX": "gcc", "GRAFT_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
