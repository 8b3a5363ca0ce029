// Any other processor, such as x86-64 with SSE2 alone: 16 registers of 16 bytes.
#pragma once

#define VECTOR_BYTES 16
constexpr int MAX_ACCUMULATORS = 12, MAX_TILE_VECTORS = 3;
