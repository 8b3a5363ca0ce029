#include "layers.h"

namespace {

// ---- what goes over memory once ----

template <class T>
void norm_forward(int64_t rows, int n, const T* x, const T* weight, double eps, T* y, T* inverse) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; i++) inverse[i] = normed(n, x + i * n, weight, (T)eps, y + i * n);
}

// dx = [plus +] the gradient of what norm_forward gives
template <class T>
void norm_backward(int64_t rows, int n, const T* x, const T* weight, const T* inverse, const T* grad, const T* plus, T* dx) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; i++) {
        const T* from = x + i * n;
        const T* g = grad + i * n;
        const T* more = plus ? plus + i * n : nullptr;
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

// y = x's halves as pairs, rotated by cos and sin (tokens, d); `back`: by the transpose. x and y may be one.
template <class T>
void rotate(int64_t tokens, int heads, int d, const T* x, const T* cos, const T* sin, bool back, T* y) {
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
                to[j] = a * c[j] + b * (back ? s[j + half] : -s[j]);
                to[j + half] = b * c[j + half] + a * (back ? -s[j] : s[j + half]);
            }
        }
    }
}

constexpr int PIECE = 1024;

// each(from, stop): all of `count` places, a piece each
template <class Each>
void by_pieces(int64_t count, Each each) {
#pragma omp parallel for schedule(static)
    for (int64_t piece = 0; piece < (count + PIECE - 1) / PIECE; piece++)
        each(piece * PIECE, std::min(count, (piece + 1) * PIECE));
}

template <class T>
void swiglu_forward(int64_t count, const T* gate, const T* up, T* y) {
    by_pieces(count, [=](int64_t from, int64_t stop) { gated(from, stop, gate, up, y); });
}

template <class T>
void swiglu_backward(int64_t count, const T* gate, const T* up, const T* grad, T* d_gate, T* d_up) {
    by_pieces(count, [=](int64_t from, int64_t stop) {
        by_lanes<T>(from, stop, [=](int64_t i, int n) {
            const auto g = some(grad + i, n), x = some(gate + i, n), u = some(up + i, n), s = sigmoid(x);
            put<T>(g * x * s, d_up + i, n);
            put<T>(g * u * s * (1 + x * (1 - s)), d_gate + i, n);
        });
    });
}

// Each row's loss, -log softmax(logits)[label], and its gradient in the place of the logits. The greatest logit is taken away first.
template <class T>
void cross_entropy(int64_t rows, int n, T* logits, const int64_t* labels, T* losses) {
    constexpr int lanes = Lanes<T>::count;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; i++) {
        T* x = logits + i * n;
        const T label = x[labels[i]];
        const T most = most_of(x, n);
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
    EXPORT void norm_forward_##NAME(int64_t rows, int n, const T* x, const T* weight, double eps, T* y, T* inverse) {  \
        norm_forward<T>(rows, n, x, weight, eps, y, inverse);                                                          \
    }                                                                                                                  \
    EXPORT void norm_backward_##NAME(int64_t rows, int n, const T* x, const T* weight, const T* inverse, const T* grad,\
                                     const T* plus, T* dx) {                                                           \
        norm_backward<T>(rows, n, x, weight, inverse, grad, plus, dx);                                                 \
    }                                                                                                                  \
    EXPORT void cross_entropy_##NAME(int64_t rows, int n, T* logits, const int64_t* labels, T* losses) {                \
        cross_entropy<T>(rows, n, logits, labels, losses);                                                             \
    }                                                                                                                  \
    EXPORT void rotate_##NAME(int64_t tokens, int heads, int d, const T* x, const T* cos, const T* sin, int back, T* y) { \
        rotate<T>(tokens, heads, d, x, cos, sin, back != 0, y);                                                        \
    }                                                                                                                  \
    EXPORT void swiglu_forward_##NAME(int64_t count, const T* gate, const T* up, T* y) {                               \
        swiglu_forward<T>(count, gate, up, y);                                                                         \
    }                                                                                                                  \
    EXPORT void swiglu_backward_##NAME(int64_t count, const T* gate, const T* up, const T* grad, T* d_gate, T* d_up) { \
        swiglu_backward<T>(count, gate, up, grad, d_gate, d_up);                                                       \
    }

FOR_TYPE(float, f32)
FOR_TYPE(double, f64)
