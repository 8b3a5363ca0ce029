"""The engine's hot loops in C++, compiled on the machine that runs them; without a compiler PyTorch's operations serve.

``build`` compiles and loads the library, ``signatures`` declares its functions, ``structs`` its structures. In C++,
``simd.h`` takes what depends on the instruction set from ``arch/``.
"""

from __future__ import annotations

from graft.engine.kernels.build import SWITCH, Kernels, computes, kernels, kernels_for, kernels_missing, only_shapes

__all__ = ["SWITCH", "Kernels", "computes", "kernels", "kernels_for", "kernels_missing", "only_shapes"]
