// Symmetric int8 with a scale for each row.
#include "simd.h"

// rows (count, n) -> int8 values plus `zero_point` (128 makes them unsigned), and their scales (count). A row of zeros stays
// zeros.
EXPORT void quantize_rows(int64_t count, int n, const float* rows, int8_t* to, float* scales, int zero_point) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) scales[i] = quantize_row(rows + i * n, n, to + i * n, zero_point);
}

// to (count, n) = or += sums * row scale * column scale
EXPORT void dequantize(int64_t count, int n, const int32_t* sums, const float* row_scales, const float* column_scales, float* to,
                       int accumulate) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) {
        const int32_t* from = sums + i * n;
        float* out = to + i * n;
        const float scale = row_scales[i];
        if (accumulate) {
#pragma omp simd
            for (int j = 0; j < n; j++) out[j] += (float)from[j] * scale * column_scales[j];
        } else {
#pragma omp simd
            for (int j = 0; j < n; j++) out[j] = (float)from[j] * scale * column_scales[j];
        }
    }
}
