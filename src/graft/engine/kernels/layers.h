// What a decoder layer calls of attention.cpp and elementwise.cpp; both say what the functions compute.
#pragma once
#include "simd.h"
#include "structs.h"

EXPORT void attention_forward_f32(const AttentionParams* params, const float* q, const float* k, const float* v, float* out,
                                  float* norms);
EXPORT void attention_backward_f32(const AttentionParams* params, const float* q, const float* k, const float* v,
                                   const float* norms, const float* grad, float* dq, float* dk, float* dv);
EXPORT void rms_norm_forward_f32(int64_t rows, int n, const float* x, const float* weight, double eps, float* y, float* inverse);
EXPORT void rms_norm_backward_f32(int64_t rows, int n, const float* x, const float* weight, const float* inverse,
                                  const float* grad, const float* residual, float* dx);
EXPORT void rope_f32(int64_t tokens, int heads, int d, const float* x, const float* cos, const float* sin, int transposed,
                     float* y);
EXPORT void swiglu_forward_f32(int64_t count, const float* gate, const float* up, float* y);
EXPORT void swiglu_backward_f32(int64_t count, const float* gate, const float* up, const float* grad, float* d_gate,
                                float* d_up);
