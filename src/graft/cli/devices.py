"""graft devices."""

from __future__ import annotations

import json

from graft.cli.arguments import Arguments
from graft.cli.command import Command
from graft.cli.output import fitted
from graft.errors import InputError


def run(arguments: Arguments) -> int:
    """Print the machine, what it measured, and what graft would choose on it.

    Raises:
        InputError: when there is any word or option but ``--json``.
    """
    as_json = arguments.flag("json")
    if arguments.words or arguments.options:
        raise InputError("graft devices accepts no option other than --json")
    from graft.cli.progress import Screen

    with Screen(quiet=as_json) as screen:
        from graft.commands.devices import devices

        found = devices(screen)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return 0
    rates = [f"{name} {rate:g}" if rate is not None else f"{name} –" for name, rate in found["gflops"].items()]
    torch, choice = found["torch"], found["choice"]
    lines = {
        "CPU": f"{found['cpu']}, {found['cores']} cores, {' '.join(found['isa']) or 'instruction sets unknown'}",
        "memory": f"{found['memory_gb']} GB, {found['memory_available_gb']} GB free",
        "GPU": ", ".join(found["gpu"]) or "none",
        "NPU": ", ".join(found["npu"]) or "none",
        "torch": f"{torch['version']}, {torch['threads']} threads, CUDA {torch['cuda']}, MPS {torch['mps']}",
        "engine": f"without C++ kernels: {missing}" if (missing := found["kernels_missing"]) else "with C++ kernels",
        "onnxruntime": ", ".join(found["providers"]) or 'not installed: pip install "graft-slm[cpu]"',
        "GFLOP/s": " · ".join(rates) + "   (measured now; other programs lower the result)",
        "tokens/s": " · ".join(f"{name} {rate:g}" for name, rate in found["training_tokens_per_second"].items())
        + "   (training a small model with graft's engine, measured once)",
        "training": f"on {choice['train_on']}; frozen layers: {choice['quickest_precision_for_frozen_layers']}",
        "deployment": f"{choice['deploy_to']}, {choice['deploy_precision']}",
    }
    for name, text in lines.items():
        print(fitted(f"{name:<12} {text}"))
    return 0


COMMAND = Command(
    "devices",
    run,
    usage="graft devices",
)
