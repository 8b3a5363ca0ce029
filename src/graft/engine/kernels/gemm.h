// The products of frozen weights and of low-rank matrices.
#pragma once
#include "simd.h"

// What ranks are filled up to a multiple of, and other sizes are one of: LANES in engine/products.py
constexpr int UNIT = 16;
inline int filled(int rank) { return (rank + UNIT - 1) / UNIT * UNIT; }

// Whether four products of codes go to a sum at once
#if defined(__AVX512VNNI__) || (defined(__AVXVNNI__) && VECTOR == 32)
#define CODES
#endif

// scale * low (rows, R; from a row to the next `row`) times b (R, n; by any strides); R 0: none
struct LowRank {
    int R;
    const float* low;
    int64_t row;
    const float* b;
    int64_t b_row, b_col;
    float scale;
};

// Columns of a weight (n, k) by any strides that are fetched into the second cache while others are used.
struct Ahead {
    const char* at = nullptr;
    int64_t row = 0;
    int rows = 0, lines = 1, done = 0;

    Ahead() = default;
    Ahead(const float* w, int64_t w_row, int64_t w_col, int columns, int k) : at((const char*)w) {
        const bool along = w_row == 1;
        row = (along ? w_col : w_row) * (int64_t)sizeof(float);
        rows = along ? k : columns;
        lines = ((along ? columns : k) + 15) / 16;
    }
    // One of so many shares
    ALWAYS void fetch(int64_t shares) {
        const int all = rows * lines;
        for (int64_t some = all / shares + 1; some && done < all; some--, done++)
            __builtin_prefetch(at + done / lines * row + done % lines * 64, 0, 2);
    }
};

// As wide_product and wide_codes, by the processor's matrix tiles; false, with nothing done, where that can't be.
bool tiles_product(int64_t rows, int n, int k, const float* x, int64_t x_row, const float* w, int64_t w_row, int64_t w_col,
                   const LowRank& low, float* to, const float* start);
bool tiles_codes(int64_t rows, int n, int k, const uint8_t* x, const float* scales, const int8_t* packed, const float* columns,
                 const int32_t* less, const LowRank& low, float* to, const float* start);

// In its own file each: what it is, and the sizes that it takes.
EXPORT void wide_product(int64_t rows, int n, int k, const float* x, const float* w, int64_t w_row, int64_t w_col, int R,
                         const float* low, int64_t low_row, const float* b, int64_t b_row, int64_t b_col, double scale,
                         float* to, const float* start);
EXPORT void wide_codes(int64_t rows, int n, int k, const uint8_t* x, const float* scales, const int8_t* packed,
                       const float* columns, const int32_t* less, int R, const float* low, int64_t low_row, const float* b,
                       int64_t b_row, int64_t b_col, double scale, float* to, const float* start);
EXPORT void tiles_bfloat16(int64_t rows, int n, int k, const float* x, const float* w, int64_t w_row, int64_t w_col, int R,
                           const float* low, int64_t low_row, const float* b, int64_t b_row, int64_t b_col, double scale,
                           float* to, const float* start);
EXPORT void low_rank_gradients_f32(int64_t rows, int n, int R, const float* grad, const float* b, const float* h,
                                   int64_t h_row, double scale, float* g, int64_t g_row, float* db, int8_t* codes,
                                   float* scales, int more);

// Dropout of what adapters read: a number is taken where the hash of its place is less than `below`, and what is kept counts
// `up` times.
struct Drop {
    uint64_t key;
    uint32_t below = 0;
    float up = 1;
};

// Rows that are there, or made once more where they are wanted: `one` itself, its RMS norm by the weight `two`, or
// silu(one) * two; without what `drop` takes.
struct Rows {
    enum { PLAIN, NORMED, GATED } kind;
    const float *one, *two;
    float eps;
    Drop drop;
};

// As low_rank_down and low_rank_outer
void down_of(int64_t rows, int n, int R, const Rows& x, const float* a, float* h, int8_t* codes, float* scales, int more);
void outer_of(int64_t rows, int n, int R, const float* g, const Rows& x, float* da);
// to (rows, n) += what `drop` leaves of g (rows, R) a (R, n)
void add_kept(int64_t rows, int n, int R, const float* g, const float* a, const Drop& drop, float* to);

// A layer y = [plus +] [bias +] x wᵀ + scale * (x aᵀ) bᵀ, as engine/joint.py describes it to lora_group.cpp.
struct Layer {
    struct Packed {  // int8, as wide_codes takes it
        const int8_t* codes;
        const float* scales;
        const int32_t* less;
    };
    int32_t n, rank;
    const float* w;  // (n, k), by any strides
    int64_t w_row, w_col;
    Packed forward, backward;
    const float *a, *b;  // (rank, k), (n, rank)
    double scale;
    const float* bias;  // (n), or none
    const float* plus;  // (rows, n), or none
    float* y;           // (rows, n)
    const float* grad;  // of y
    float *grad_a, *grad_b;
};

EXPORT void together_forward(int compute, int64_t rows, int k, int count, const Layer* layers, const Drop* drop, const float* x,
                             float* h);
EXPORT void together_backward(int compute, int64_t rows, int k, int count, const Layer* layers, const Drop* drop, const float* h,
                              int kind, const float* one, const float* two, double eps, float* grad_x);
