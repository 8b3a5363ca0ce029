// What the ways to multiply with frozen weights share.
#pragma once
#include <cstdint>

// scale * low (rows, R; from a row to the next `row`) times b (R, n; by any strides); R 0: none
struct LowRank {
    int R;
    const float* low;
    int64_t row;
    const float* b;
    int64_t b_row, b_col;
    float scale;
};

// As wide_product and wide_codes, by the processor's matrix tiles; false, with nothing done, where that can't be.
bool tiles_product(int64_t rows, int n, int k, const float* x, int64_t x_row, const float* w, int64_t w_row, int64_t w_col,
                   const LowRank& low, float* to, const float* start);
bool tiles_codes(int64_t rows, int n, int k, const uint8_t* x, const float* scales, const int8_t* packed, const float* columns,
                 const int32_t* less, const LowRank& low, float* to, const float* start);
