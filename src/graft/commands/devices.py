"""``graft devices``: what this machine has, what it was measured to do, and what graft would choose on it."""

from __future__ import annotations

from typing import Any

from graft.engine.kernels import kernels_missing
from graft.hardware.machine import isa, machine, memory_available_mb, npu_names, providers
from graft.hardware.rates import choice, gemm_rates


def devices() -> dict[str, Any]:
    """As plain values. Takes a few seconds: the rates are measured now."""
    import torch

    rates = gemm_rates()
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
        "gflops": rates,
        "choice": {
            "train_on": "cuda" if cuda else "mps" if mps else "cpu",
            "quickest_precision_for_frozen_layers": choice(rates),
            "deploy_to": next((name for name in there if name.startswith(("CUDA", "Dml"))), "CPUExecutionProvider"),
            "deploy_precision": "fp16" if cuda else "int4",
        },
    }
