// Numbers as int8: a scale for each row, symmetric.
#include "simd.h"

// rows (count, n) -> codes and a scale for each row; a row of zeros stays one. `more` is added to the codes: 128 makes them unsigned.
EXPORT void quantise(int64_t count, int n, const float* rows, int8_t* to, float* scales, int more) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) scales[i] = codes_of(rows + i * n, n, to + i * n, more);
}

// to (count, n) = or += sums * row scale * column scale
EXPORT void dequantise(int64_t count, int n, const int32_t* sums, const float* rows, const float* columns, float* to,
                       int add) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) {
        const int32_t* from = sums + i * n;
        float* out = to + i * n;
        const float scale = rows[i];
        if (add) {
#pragma omp simd
            for (int j = 0; j < n; j++) out[j] += (float)from[j] * scale * columns[j];
        } else {
#pragma omp simd
            for (int j = 0; j < n; j++) out[j] = (float)from[j] * scale * columns[j];
        }
    }
}
