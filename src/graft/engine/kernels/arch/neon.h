// 64-bit ARM: 32 registers of 16 bytes. The compiler's own vector operations serve; there are no intrinsics.
#pragma once

#define VECTOR_BYTES 16
constexpr int MAX_ACCUMULATORS = 24, MAX_TILE_VECTORS = 4;
