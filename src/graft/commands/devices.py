"""``graft devices``: what this machine has, what it was measured to do, and what graft would choose on it."""

from __future__ import annotations

from typing import Any

from graft.engine.benchmark import engine_rates
from graft.engine.kernels import kernels_missing
from graft.hardware.benchmark import gemm_rates
from graft.hardware.machine import isa, machine, memory_available_mb, npu_names, providers
from graft.progress import SILENT, Reporter, enter

FORMATS = ("float32", "bfloat16", "int8", "int4")
"""Number formats whose products are measured."""
ENGINE_FORMATS = {"exact": "float32", "bfloat16": "bfloat16", "int8": "int8"}
"""In which format each engine computes the products with frozen layers."""
WORTH_IT = 1.2
"""An engine that is not exact is recommended where it trains a fifth faster."""


def devices(reporter: Reporter = SILENT) -> dict[str, Any]:
    """Plain values. It takes some seconds: rates of products are measured now, those of training once per machine.

    Args:
        reporter: Told what is measured.

    Returns:
        The machine, ``gflops`` of products by number format (None where there is none), ``training_tokens_per_second``
        of a small model by the engine's number format, and what graft would choose.
    """
    import torch

    enter(reporter, "step")
    reporter.note(f"measuring matrix products in {', '.join(FORMATS)}")
    rates = gemm_rates()
    by_engine = engine_rates(reporter)
    training = {name: by_engine[engine] for engine, name in ENGINE_FORMATS.items()}
    found = machine()
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    there = providers()
    return {
        **found,
        "memory_available_gb": round(memory_available_mb() / 1024, 1),
        "isa": isa(),
        "npu": npu_names(),
        "torch": {"version": torch.__version__, "threads": torch.get_num_threads(), "cuda": cuda, "mps": mps},
        "kernels_missing": kernels_missing(),
        "providers": there,
        "gflops": {name: rates.get(name) for name in FORMATS},
        "training_tokens_per_second": training,
        "choice": {
            "train_on": "cuda" if cuda else "mps" if mps else "cpu",
            "quickest_precision_for_frozen_layers": _quickest(training),
            "deploy_to": next((name for name in there if name.startswith(("CUDA", "Dml"))), "CPUExecutionProvider"),
            "deploy_precision": "float16" if cuda else "int4",
        },
    }


def _quickest(training: dict[str, float]) -> str:
    """The format in which the frozen layers train fastest; float32 unless another is a fifth faster."""
    best = max(training, key=lambda name: training[name])
    return best if training[best] > WORTH_IT * training["float32"] else "float32"
