// Norms, RoPE, gates and the cross-entropy: each in one pass over memory.
#include "layers.h"

namespace {

template <class T>
void rms_norm_forward(int64_t rows, int n, const T* x, const T* weight, double eps, T* y, T* inverse) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; i++) inverse[i] = rms_norm_row(n, x + i * n, weight, (T)eps, y + i * n);
}

// dx = [residual +] the gradient of rms_norm_forward's x; its weight is frozen
template <class T>
void rms_norm_backward(int64_t rows, int n, const T* x, const T* weight, const T* inverse, const T* grad, const T* residual,
                       T* dx) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; i++) {
        const T* from = x + i * n;
        const T* g = grad + i * n;
        const T* more = residual ? residual + i * n : nullptr;
        T* to = dx + i * n;
        const T inv = inverse[i];
        const T along = dot3(g, weight, from, n) * inv * inv * inv / n;
#pragma omp simd
        for (int j = 0; j < n; j++) to[j] = g[j] * weight[j] * inv - from[j] * along;
        if (more)
#pragma omp simd
            for (int j = 0; j < n; j++) to[j] += more[j];
    }
}

// RoPE (Su et al. 2021, arXiv:2104.09864): y (tokens, heads, d) = x with its halves as pairs, rotated by cos and sin (tokens, d);
// `transposed`: rotated back. y may be x.
template <class T>
void rope(int64_t tokens, int heads, int d, const T* x, const T* cos, const T* sin, bool transposed, T* y) {
    const int half = d / 2;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; t++) {
        const T *c = cos + t * d, *s = sin + t * d;
        for (int head = 0; head < heads; head++) {
            const T* from = x + (t * heads + head) * d;
            T* to = y + (t * heads + head) * d;
#pragma omp simd
            for (int j = 0; j < half; j++) {
                const T a = from[j], b = from[j + half];
                to[j] = a * c[j] + b * (transposed ? s[j + half] : -s[j]);
                to[j + half] = b * c[j + half] + a * (transposed ? -s[j] : s[j + half]);
            }
        }
    }
}

constexpr int CHUNK = 1024;

// each(from, stop): the indices below `count`, chunk by chunk
template <class Each>
void for_each_chunk(int64_t count, Each each) {
#pragma omp parallel for schedule(static)
    for (int64_t chunk = 0; chunk < (count + CHUNK - 1) / CHUNK; chunk++)
        each(chunk * CHUNK, std::min(count, (chunk + 1) * CHUNK));
}

template <class T>
void swiglu_forward(int64_t count, const T* gate, const T* up, T* y) {
    for_each_chunk(count, [=](int64_t from, int64_t stop) { swiglu_range(from, stop, gate, up, y); });
}

template <class T>
void swiglu_backward(int64_t count, const T* gate, const T* up, const T* grad, T* d_gate, T* d_up) {
    for_each_chunk(count, [=](int64_t from, int64_t stop) {
        for_each_vector<T>(from, stop, [=](int64_t i, int n) {
            const auto g = load_partial(grad + i, n), x = load_partial(gate + i, n), u = load_partial(up + i, n), s = sigmoid(x);
            store_partial<T>(g * x * s, d_up + i, n);
            store_partial<T>(g * u * s * (1 + x * (1 - s)), d_gate + i, n);
        });
    });
}

// Each row's loss, -log softmax(logits)[label]; its gradient replaces the logits. The largest logit is subtracted first.
template <class T>
void cross_entropy(int64_t rows, int n, T* logits, const int64_t* labels, T* losses) {
    constexpr int lanes = Simd<T>::lanes;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; i++) {
        T* x = logits + i * n;
        const T label = x[labels[i]];
        const T most = max_of(x, n);
        const int whole = n / lanes * lanes;
        exponential(x, whole, most);
        for (int j = whole; j < n; j++) x[j] = std::exp(x[j] - most);
        const T sum = sum_of(x, n), inverse = 1 / sum;
#pragma omp simd
        for (int k = 0; k < n; k++) x[k] *= inverse;
        x[labels[i]] -= 1;
        losses[i] = std::log(sum) + most - label;
    }
}

}  // namespace

#define FOR_TYPE(T, NAME)                                                                                              \
    EXPORT void rms_norm_forward_##NAME(int64_t rows, int n, const T* x, const T* weight, double eps, T* y, T* inverse) {  \
        rms_norm_forward<T>(rows, n, x, weight, eps, y, inverse);                                                          \
    }                                                                                                                  \
    EXPORT void rms_norm_backward_##NAME(int64_t rows, int n, const T* x, const T* weight, const T* inverse, const T* grad,\
                                     const T* residual, T* dx) {                                                           \
        rms_norm_backward<T>(rows, n, x, weight, inverse, grad, residual, dx);                                                 \
    }                                                                                                                  \
    EXPORT void cross_entropy_##NAME(int64_t rows, int n, T* logits, const int64_t* labels, T* losses) {                \
        cross_entropy<T>(rows, n, logits, labels, losses);                                                             \
    }                                                                                                                  \
    EXPORT void rope_##NAME(int64_t tokens, int heads, int d, const T* x, const T* cos, const T* sin, int transposed, T* y) { \
        rope<T>(tokens, heads, d, x, cos, sin, transposed != 0, y);                                                        \
    }                                                                                                                  \
    EXPORT void swiglu_forward_##NAME(int64_t count, const T* gate, const T* up, T* y) {                               \
        swiglu_forward<T>(count, gate, up, y);                                                                         \
    }                                                                                                                  \
    EXPORT void swiglu_backward_##NAME(int64_t count, const T* gate, const T* up, const T* grad, T* d_gate, T* d_up) { \
        swiglu_backward<T>(count, gate, up, grad, d_gate, d_up);                                                       \
    }

FOR_TYPE(float, f32)
FOR_TYPE(double, f64)
