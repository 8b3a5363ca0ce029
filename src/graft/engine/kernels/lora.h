// LoRA's narrow products, and the layers of a group that read one input.
#pragma once
#include "simd.h"
#include "structs.h"

// Where rows (rows, n) are quantized on the way: int8 values, their scales (rows) and the zero point. values null: nowhere.
struct QuantizedRows {
    int8_t* values;
    float* scales;
    int zero_point;
};

// As lora_down and lora_grad_a, of rows that may be recomputed; x.first is what is quantized.
void lora_down_of(int64_t rows, int n, int R, const RowSource& x, const float* a, float* h, const QuantizedRows& quantized);
void lora_grad_a_of(int64_t rows, int n, int R, const float* g, const RowSource& x, float* grad_a);
// out (rows, n) += what dropout keeps of g (rows, R) a (R, n)
void lora_add_dropped(int64_t rows, int n, int R, const float* g, const float* a, const Dropout& dropout, float* out);

EXPORT void lora_backward_b_f32(int64_t rows, int n, int R, const float* grad, const float* b, const float* h, int64_t h_row,
                                double scale, float* g, int64_t g_row, float* grad_b, int8_t* values, float* scales,
                                int zero_point);

// The layers' y of x (rows, k); h (rows, R) = what dropout keeps of x, times aᵀ. `dropout` may be null.
EXPORT void lora_group_forward(int compute, int64_t rows, int k, int count, const LoraLayer* layers, const Dropout* dropout,
                               const float* x, float* h);
// The layers' grad_a and grad_b, and grad_x (rows, k) unless it is null.
EXPORT void lora_group_backward(int compute, int64_t rows, int k, int count, const LoraLayer* layers, const RowSource* x,
                                const float* h, float* grad_x);
