import math

import torch

from graft.hardware.benchmark import COLUMNS, INNER, ROWS, _products, gemm_rates


def test_rates_are_those_of_products_that_ran():
    before = torch.get_num_threads()
    rates = gemm_rates(seconds=0.05, threads=1)
    assert {"float32", "bfloat16"} <= set(rates) <= {"float32", "bfloat16", "float16", "int8", "int4"}
    assert all(math.isfinite(rate) and rate > 0 for rate in rates.values())
    assert torch.get_num_threads() == before


def test_every_format_computes_the_same_product():
    """A rate of something that is no product of these matrices would say nothing."""
    products = _products("cpu")
    exact = products["float32"]()
    assert exact.shape == (ROWS, COLUMNS)
    for name in ("bfloat16", "float16", "int8"):
        try:
            found = products[name]().float()
        except (RuntimeError, AttributeError):
            continue
        assert (found - exact).std() < 0.05 * math.sqrt(INNER), name
