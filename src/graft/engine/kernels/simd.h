// SIMD vectors and what is computed with them: transposes, sums, exp, rows of norms and gates, int8 rows.
//
// Arrays are dense and row-major unless a comment says otherwise. Every result is the same for any number of threads, except
// gradients that are summed over tokens (those of shared prefixes and of adapters): threads add those up in a fixed order.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>
#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_max_threads() { return 1; }
static int omp_get_num_threads() { return 1; }
static int omp_get_thread_num() { return 0; }
#endif

#define ALWAYS_INLINE inline __attribute__((always_inline))  // a call would move the accumulators of a tile to memory

#ifdef _WIN32
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C"
#endif

// An instruction set defines how long a vector is (one register: a compiler keeps longer ones in memory), how many registers
// the accumulators of a matrix product may take, and how many vectors wide a tile may be. It also defines transpose_block
// where vectors are longer than 16 bytes, and dot_u8s8 (with HAS_INT8_DOT) where the processor has it.
#if defined(__AVX512F__)
#include "arch/avx512.h"
#elif defined(__AVX2__) && defined(__FMA__)
#include "arch/avx2.h"
#elif defined(__aarch64__)
#include "arch/neon.h"
#else
#include "arch/generic.h"
#endif

namespace {

template <class T>
struct Simd {
    typedef T Vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));
    static constexpr int lanes = VECTOR_BYTES / sizeof(T);
};

template <class T>
int round_up_to_lanes(int n) {
    return (n + Simd<T>::lanes - 1) / Simd<T>::lanes * Simd<T>::lanes;
}

// ---- transposes ----

// to (n, lanes) = columns `first` to n of as many rows as a vector has lanes
template <class T>
ALWAYS_INLINE void transpose_scalar(int first, int n, const T* from, int64_t row, T* to, int64_t to_row) {
    for (int i = first; i < n; i++)
        for (int j = 0; j < Simd<T>::lanes; j++) to[i * to_row + j] = from[j * row + i];
}
template <class T>
ALWAYS_INLINE void transpose(int n, const T* from, int64_t row, T* to, int64_t to_row) {
    transpose_scalar(0, n, from, row, to, to_row);
}

#if VECTOR_BYTES >= 32
template <>
inline void transpose<float>(int n, const float* from, int64_t row, float* to, int64_t to_row) {
    constexpr int side = Simd<float>::lanes;
    int i = 0;
    for (; i + side <= n; i += side)
        transpose_block(std::make_integer_sequence<int, side>(), from + i, row, to + i * to_row, to_row);
    transpose_scalar(i, n, from, row, to, to_row);
}
#endif

// ---- sums ----

// Sums are taken lane by lane, then over the lanes by halves. A compiler's own order depends on the alignment of an array, and
// the same run would not give the same bits twice.
template <class T, class Combine>
ALWAYS_INLINE T reduce_lanes(typename Simd<T>::Vector vector, Combine combine) {
    T all[Simd<T>::lanes];
    std::memcpy(all, &vector, sizeof all);
    for (int half = Simd<T>::lanes / 2; half; half /= 2)
        for (int i = 0; i < half; i++) all[i] = combine(all[i], all[i + half]);
    return all[0];
}

template <class T>
ALWAYS_INLINE T sum_lanes(typename Simd<T>::Vector vector) {
    return reduce_lanes<T>(vector, [](T a, T b) { return a + b; });
}

// The largest of n numbers; minus infinity when there are none
template <class T>
T max_of(const T* a, int n) {
    typedef typename Simd<T>::Vector V;
    V high = V{} - INFINITY;
    int j = 0;
    for (; j + Simd<T>::lanes <= n; j += Simd<T>::lanes) high = *(const V*)(a + j) > high ? *(const V*)(a + j) : high;
    T most = reduce_lanes<T>(high, [](T a, T b) { return std::max(a, b); });
    for (; j < n; j++) most = std::max(most, a[j]);
    return most;
}

template <class T>
T dot(const T* a, const T* b, int n) {
    typedef typename Simd<T>::Vector V;
    V sum{};
    int j = 0;
    for (; j + Simd<T>::lanes <= n; j += Simd<T>::lanes) sum += *(const V*)(a + j) * *(const V*)(b + j);
    T all = sum_lanes<T>(sum);
    for (; j < n; j++) all += a[j] * b[j];
    return all;
}

template <class T>
T dot3(const T* a, const T* b, const T* c, int n) {
    typedef typename Simd<T>::Vector V;
    V sum{};
    int j = 0;
    for (; j + Simd<T>::lanes <= n; j += Simd<T>::lanes)
        sum += *(const V*)(a + j) * *(const V*)(b + j) * *(const V*)(c + j);
    T all = sum_lanes<T>(sum);
    for (; j < n; j++) all += a[j] * b[j] * c[j];
    return all;
}

template <class T>
T sum_of(const T* a, int n) {
    typedef typename Simd<T>::Vector V;
    V sum{};
    int j = 0;
    for (; j + Simd<T>::lanes <= n; j += Simd<T>::lanes) sum += *(const V*)(a + j);
    T all = sum_lanes<T>(sum);
    for (; j < n; j++) all += a[j];
    return all;
}

// ---- exp(x) for x <= 0 ----

// x = n ln 2 + r with |r| <= ln 2 / 2; the series of exp(r) up to r^7 / 7! has a relative error of 6e-9.
ALWAYS_INLINE Simd<float>::Vector exponential(Simd<float>::Vector given) {
    typedef Simd<float>::Vector V;
    typedef int32_t I __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
    const V v = given < -87.0f ? V{} - 87.0f : given;
    const V whole = (v * 1.44269504f + 12582912.0f) - 12582912.0f;
    const V r = (v - whole * 0.693359375f) + whole * 2.12194440e-4f;
    V sum = r * (1.0f / 5040) + 1.0f / 720;
    sum = sum * r + 1.0f / 120;
    sum = sum * r + 1.0f / 24;
    sum = sum * r + 1.0f / 6;
    sum = sum * r + 0.5f;
    sum = sum * r + 1.0f;
    sum = sum * r + 1.0f;
    const I power = (__builtin_convertvector(whole, I) + 127) << 23;
    return given < -87.0f ? V{} : sum * (V)power;
}

ALWAYS_INLINE Simd<double>::Vector exponential(Simd<double>::Vector given) {
    for (int i = 0; i < Simd<double>::lanes; i++) given[i] = std::exp(given[i]);
    return given;
}

// x = exp(x - shift) over n numbers, n a multiple of the lanes
template <class T>
void exponential(T* x, int n, T shift) {
    typedef typename Simd<T>::Vector V;
    for (int j = 0; j < n; j += Simd<T>::lanes) *(V*)(x + j) = exponential(*(V*)(x + j) - shift);
}

template <class V>
ALWAYS_INLINE V sigmoid(V x) {
    const V small = exponential(x < 0 ? x : -x);
    return (x < 0 ? small : V{} + 1) / (1 + small);
}

// ---- rows, element by element ----

// each(index, count): whole vectors from `from` to `stop`, then what is left
template <class T, class Each>
ALWAYS_INLINE void for_each_vector(int64_t from, int64_t stop, Each each) {
    for (; from + Simd<T>::lanes <= stop; from += Simd<T>::lanes) each(from, Simd<T>::lanes);
    if (from < stop) each(from, (int)(stop - from));
}
template <class T>
ALWAYS_INLINE typename Simd<T>::Vector load_partial(const T* from, int count) {
    typedef typename Simd<T>::Vector V;
    if (count == Simd<T>::lanes) return *(const V*)from;
    V v{};
    std::memcpy(&v, from, count * sizeof(T));
    return v;
}
template <class T>
ALWAYS_INLINE void store_partial(typename Simd<T>::Vector v, T* to, int count) {
    if (count == Simd<T>::lanes)
        *(typename Simd<T>::Vector*)to = v;
    else
        std::memcpy(to, &v, count * sizeof(T));
}

// y = silu(gate) * up, from index `from` to `stop`
template <class T>
void swiglu_range(int64_t from, int64_t stop, const T* gate, const T* up, T* y) {
    for_each_vector<T>(from, stop, [=](int64_t i, int count) {
        const auto g = load_partial(gate + i, count);
        store_partial<T>(g * sigmoid(g) * load_partial(up + i, count), y + i, count);
    });
}

// y (n) = x / sqrt(mean(x^2) + eps) * weight. Returns the factor 1 / sqrt(...).
template <class T>
T rms_norm_row(int n, const T* x, const T* weight, T eps, T* y) {
    const T inverse = 1 / std::sqrt(dot(x, x, n) / n + eps);
#pragma omp simd
    for (int j = 0; j < n; j++) y[j] = x[j] * inverse * weight[j];
    return inverse;
}

// n numbers as int8 from -127 to 127, plus `zero_point`. Returns their scale.
inline float quantize_row(const float* from, int n, int8_t* to, int zero_point) {
    float most = 1e-30f;
#pragma omp simd reduction(max : most)
    for (int j = 0; j < n; j++) most = std::max(most, std::abs(from[j]));
    const float inverse = 127 / most;
#pragma omp simd
    for (int j = 0; j < n; j++)
        to[j] = (int8_t)((int32_t)((from[j] * inverse + 12582912.0f) - 12582912.0f) + zero_point);
    return most / 127;
}

}  // namespace
