// The structures that Python passes. structs.py declares the same; abi.cpp reports their layout, and the two are compared when
// the library is loaded.
#pragma once
#include <cstdint>

// Sizes that the kernels take are multiples of this, and ranks are padded to one: LANES in engine/matmul.py.
constexpr int LANE_MULTIPLE = 16;
inline int padded_rank(int rank) { return (rank + LANE_MULTIPLE - 1) / LANE_MULTIPLE * LANE_MULTIPLE; }

// The number format in which the products with frozen weights are computed.
enum Compute { COMPUTE_FLOAT32, COMPUTE_INT8, COMPUTE_BFLOAT16 };

// How rows are made: as they are, RMS-normalized, or gated.
enum RowKind { ROWS_PLAIN, ROWS_RMS_NORM, ROWS_SWIGLU };

// Dropout of what adapters read: a number is dropped where the hash of its position is below `threshold`; what is kept is
// multiplied by `scale`.
struct Dropout {
    uint64_t key;
    uint32_t threshold = 0;
    float scale = 1;
};

// Rows (rows, n) that are in memory or recomputed when they are read: `first` itself, its RMS norm with the weight `second`
// (n), or silu(first) * second; then with dropout.
struct RowSource {
    int32_t kind;
    const float *first, *second;
    double eps;
    Dropout dropout;
};

// The low-rank part of a product: scale * h (rows, rank; row stride h_row) b (rank, n; any strides). rank 0: none.
struct LoraEpilogue {
    int32_t rank;
    const float* h;
    int64_t h_row;
    const float* b;
    int64_t b_row, b_col;
    float scale;
};

// A weight (n, k) in int8, packed as (n / 16, k / 4, 16, 4), with the scales of its n rows and their zero-point compensation:
// 128 times the sums of their values.
struct Int8Weight {
    const int8_t* values;
    const float* scales;
    const int32_t* compensation;
};

// A frozen layer with LoRA, y = [residual +] [bias +] x wᵀ + scale * (x aᵀ) bᵀ (Hu et al. 2021, arXiv:2106.09685).
struct LoraLayer {
    int32_t n, rank;
    const float* w;  // (n, k), any strides
    int64_t w_row, w_col;
    Int8Weight forward, backward;
    const float *a, *b;  // (rank, k), (n, rank)
    double scale;
    const float* bias;      // (n), or null
    const float* residual;  // (rows, n), or null
    float* y;               // (rows, n)
    const float* grad;      // of y
    float *grad_a, *grad_b;
};

// Queries, keys and values over a forest of token spans.
struct AttentionParams {
    int32_t nodes, tokens;
    int32_t shared;               // the first `shared` tokens belong to nodes that have children
    int32_t heads, kv_heads, d;   // d: numbers per head
    int32_t window;               // how many positions a token looks back, itself included; 0: all
    const int32_t* spans;         // (nodes, 3): first token, one past the last, the parent's index or -1
    const int32_t* positions;     // (tokens)
    double scale, cap;            // cap 0: scores are not capped
};

// Keys and values of rows in generation: what all rows share, then a slot for each row with room for `capacity` tokens.
struct KVCache {
    int32_t rows, shared, capacity;
    const int32_t *slots, *lengths;  // (rows): each row's slot; by slot, how many tokens of its own a row has
};

// A decoder layer over one packed sequence.
struct DecoderLayer {
    int32_t compute, width, inner;
    AttentionParams attention;
    double eps_attention, eps_mlp, eps_q, eps_k;
    const float *norm_attention, *norm_mlp;  // weights (width)
    const float *norm_q, *norm_k;            // weights (d) of the heads' norms before RoPE, or null
    const float *cos, *sin;                  // (tokens, d), or null: no RoPE
    // Kept for the backward pass, arrays of (tokens, numbers) one after the other: of attention; of what follows it; gate; up.
    float *kept_attention, *kept_mlp, *gate, *up;
    LoraLayer layers[7];  // q, k, v, o, gate, up, down
    Dropout dropouts[4];  // of what q, k and v read; o; gate and up; down
};
