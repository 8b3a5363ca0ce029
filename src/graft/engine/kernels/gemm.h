// Products of activations with frozen weights, with a LoRA epilogue: out = [residual +] x wᵀ + scale * h b.
#pragma once
#include "simd.h"
#include "structs.h"

// Part of a weight (n, k), any strides, that is prefetched into the second-level cache while another part is used.
struct Prefetch {
    const char* data = nullptr;
    int64_t row = 0;
    int rows = 0, lines = 1, done = 0;

    Prefetch() = default;
    Prefetch(const float* w, int64_t w_row, int64_t w_col, int columns, int k) : data((const char*)w) {
        const bool transposed = w_row == 1;
        row = (transposed ? w_col : w_row) * (int64_t)sizeof(float);
        rows = transposed ? k : columns;
        lines = ((transposed ? columns : k) + 15) / 16;
    }
    // Fetches one of `shares` equal shares
    ALWAYS_INLINE void fetch(int64_t shares) {
        const int all = rows * lines;
        for (int64_t some = all / shares + 1; some && done < all; some--, done++)
            __builtin_prefetch(data + done / lines * row + done % lines * 64, 0, 2);
    }
};

// A float32 weight (n, k), any strides.
struct WeightView {
    const float* data;
    int64_t row, col;
};

// As gemm_f32 and gemm_int8 on AMX tiles. They return false, and do nothing, where the sizes or the processor do not allow it.
bool gemm_f32_amx(int64_t rows, int n, int k, const float* x, const WeightView& w, const LoraEpilogue& lora, float* out,
                  const float* residual);
bool gemm_int8_amx(int64_t rows, int n, int k, const uint8_t* x, const float* x_scales, const Int8Weight& w,
                   const LoraEpilogue& lora, float* out, const float* residual);

// x (rows, k), w (n, k) with any strides, n a multiple of the lanes; `residual` (rows, n) may be `out` or null, `lora` null.
// Defined where vectors have 32 bytes or more.
EXPORT void gemm_f32(int64_t rows, int n, int k, const float* x, const float* w, int64_t w_row, int64_t w_col,
                     const LoraEpilogue* lora, float* out, const float* residual);
// x (rows, k): int8 with zero point 128, and a scale per row; k a multiple of 4, n of the lanes. Defined with HAS_INT8_DOT.
EXPORT void gemm_int8(int64_t rows, int n, int k, const uint8_t* x, const float* x_scales, const Int8Weight* w,
                      const LoraEpilogue* lora, float* out, const float* residual);
// As gemm_f32, with both factors rounded to bfloat16; k and n are multiples of 16, and a stride of w is 1. Defined with AMX.
EXPORT void gemm_bf16(int64_t rows, int n, int k, const float* x, const float* w, int64_t w_row, int64_t w_col,
                      const LoraEpilogue* lora, float* out, const float* residual);
