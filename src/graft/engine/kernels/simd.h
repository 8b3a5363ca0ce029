// What the kernels share: vectors, products of small matrices in them, sums, exp. Arrays are dense and row-major
// where nothing else is said. Every result is the same whatever the number of threads, but for gradients that are summed over
// tokens (those of shared prefixes and of adapters), which are added up thread by thread in a fixed order.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>
#ifdef __AVX2__
#include <immintrin.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_max_threads() { return 1; }
static int omp_get_num_threads() { return 1; }
static int omp_get_thread_num() { return 0; }
#endif

// Bytes of a vector, which is one register: a compiler keeps no longer ones in several, but in memory. How many of them the
// sums of a product may take, and how many columns of them go at once.
#if defined(__AVX512F__)
#define VECTOR 64
constexpr int SUMS = 24, WIDEST = 4;
#elif defined(__AVX2__) && defined(__FMA__)
#define VECTOR 32
constexpr int SUMS = 12, WIDEST = 3;
#elif defined(__aarch64__)
#define VECTOR 16
constexpr int SUMS = 24, WIDEST = 4;
#else
#define VECTOR 16
constexpr int SUMS = 12, WIDEST = 3;
#endif

#define ALWAYS inline __attribute__((always_inline))  // a call would put the sums of a tile into memory

#ifdef _WIN32
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C"
#endif

// Memory that begins with a line of the cache and stays with its thread for the next call, until it is given back.
struct Room {
    std::vector<char> bytes;

    Room() { all().push_back(this); }
    static std::vector<Room*>& all() {
        static thread_local std::vector<Room*> rooms;
        return rooms;
    }
    template <class T>
    T* of(size_t count) {
        if (bytes.size() < count * sizeof(T) + 64) {
            std::vector<char>().swap(bytes);
            bytes.resize(count * sizeof(T) + 64);
        }
        return (T*)(((uintptr_t)bytes.data() + 63) & ~(uintptr_t)63);
    }
};

namespace {

template <class T>
struct Lanes {
    typedef T type __attribute__((vector_size(VECTOR), aligned(sizeof(T)), may_alias));
    static constexpr int count = VECTOR / sizeof(T);
};

template <class T>
int padded(int n) {
    return (n + Lanes<T>::count - 1) / Lanes<T>::count * Lanes<T>::count;
}

// ---- products of matrices that are in the cache ----

// The left factor: its strides. The right one: from a row to the next, and from one of its columns of lanes to the next.
template <class T>
struct Left {
    const T* at;
    int64_t row, col;
};
template <class T>
struct Right {
    const T* at;
    int64_t row, next;
};

// The sums of M rows by N lanes are an array only for the eye: with every place a constant of the fold, each is a
// register. A loop over them leaves the array in memory (GCC 12), at a third of the speed.
template <class T, int N, int... I>
struct Sums {
    typedef typename Lanes<T>::type V;
    V sum[sizeof...(I)];

    ALWAYS void clear() { ((sum[I] = V{}), ...); }
    ALWAYS void load(const T* c, int64_t row) {
        ((sum[I] = *(const V*)(c + (I / N) * row + I % N * Lanes<T>::count)), ...);
    }
    ALWAYS void store(T* c, int64_t row) const { ((*(V*)(c + (I / N) * row + I % N * Lanes<T>::count) = sum[I]), ...); }
    ALWAYS void add(int K, Left<T> a, Right<T> b) {
        for (int k = 0; k < K; k++) {
            V right[N];
            ((I < N ? void(right[I % N] = *(const V*)(b.at + k * b.row + I % N * b.next)) : void()), ...);
            ((sum[I] += a.at[(I / N) * a.row + k * a.col] * right[I % N]), ...);
        }
    }
};

template <class T, int N, class Places>
struct SumsOver;
template <class T, int N, int... I>
struct SumsOver<T, N, std::integer_sequence<int, I...>> {
    typedef Sums<T, N, I...> type;
};
template <class T, int M, int N>
using Tile = typename SumsOver<T, N, std::make_integer_sequence<int, M * N>>::type;

constexpr int ROWS = 8;  // at most, at once

template <class T, int M, int N>
inline void tile(int K, Left<T> a, Right<T> b, T* c, int64_t c_row, bool add) {
    Tile<T, M, N> sums;
    add ? sums.load(c, c_row) : sums.clear();
    sums.add(K, a, b);
    sums.store(c, c_row);
}

template <class T, int N>
void strip(int M, int K, Left<T> a, Right<T> b, T* c, int64_t c_row, bool add) {
    constexpr int rows = std::min(ROWS, SUMS / N);
    int i = 0;
    for (; i + rows <= M; i += rows) tile<T, rows, N>(K, {a.at + i * a.row, a.row, a.col}, b, c + i * c_row, c_row, add);
    const auto rest = [&](auto count) {
        for (; i + count <= M; i += count)
            tile<T, count, N>(K, {a.at + i * a.row, a.row, a.col}, b, c + i * c_row, c_row, add);
    };
    if constexpr (rows > 4) rest(std::integral_constant<int, 4>());
    if constexpr (rows > 2) rest(std::integral_constant<int, 2>());
    rest(std::integral_constant<int, 1>());
}

// c (M, N) = or += a (M, K) b (K, N); N is a multiple of the lanes
template <class T>
void product(int M, int N, int K, Left<T> a, Right<T> b, T* c, int64_t c_row, bool add) {
    for (int j = 0, left = N / Lanes<T>::count; left > 0;) {
        const int n = left > 4 ? 3 : left <= WIDEST ? left : 2;
        const Right<T> from = {b.at + j * b.next, b.row, b.next};
        T* to = c + j * Lanes<T>::count;
        if (n == 1) strip<T, 1>(M, K, a, from, to, c_row, add);
        if (n == 2) strip<T, 2>(M, K, a, from, to, c_row, add);
        if (n == 3) strip<T, 3>(M, K, a, from, to, c_row, add);
        if constexpr (WIDEST > 3)
            if (n == 4) strip<T, 4>(M, K, a, from, to, c_row, add);
        j += n, left -= n;
    }
}

template <class T>
void product(int M, int N, int K, const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t b_row, T* c, int64_t c_row,
             bool add) {
    product<T>(M, N, K, {a, a_row, a_col}, {b, b_row, Lanes<T>::count}, c, c_row, add);
}

// ---- turning ----

// to (n, lanes) = columns from `first` of as many rows as there are lanes
template <class T>
ALWAYS void turn_each(int first, int n, const T* from, int64_t row, T* to, int64_t to_row) {
    for (int i = first; i < n; i++)
        for (int j = 0; j < Lanes<T>::count; j++) to[i * to_row + j] = from[j * row + i];
}
template <class T>
ALWAYS void turn(int n, const T* from, int64_t row, T* to, int64_t to_row) {
    turn_each(0, n, from, row, to, to_row);
}

#if VECTOR == 64
// 16 rows of 16 numbers, turned: pairs of numbers, of two, of four, of eight change places.
template <int... I>
ALWAYS void turned(std::integer_sequence<int, I...>, const float* from, int64_t row, float* to, int64_t to_row) {
    const auto wide = [](__m512 v) { return _mm512_castps_pd(v); };
    __m512 a[16] = {_mm512_loadu_ps(from + I * row)...}, b[16];
    ((b[I] = I & 1 ? _mm512_unpackhi_ps(a[I & ~1], a[I | 1]) : _mm512_unpacklo_ps(a[I], a[I | 1])), ...);
    ((a[I] = _mm512_castpd_ps(I & 1 ? _mm512_unpackhi_pd(wide(b[(I & ~3) | (I >> 1 & 1)]), wide(b[(I & ~3) | 2 | (I >> 1 & 1)]))
                                    : _mm512_unpacklo_pd(wide(b[(I & ~3) | (I >> 1 & 1)]), wide(b[(I & ~3) | 2 | (I >> 1 & 1)])))),
     ...);
    ((b[I] = _mm512_shuffle_f32x4(a[(I & 3) | (I & 4) << 1], a[(I & 3) | 4 | (I & 4) << 1], I & 8 ? 0xdd : 0x88)), ...);
    (_mm512_storeu_ps(to + ((I & 8) / 2 + (I & 4) * 2 + (I & 3)) * to_row,
                      _mm512_shuffle_f32x4(b[(I & 3) | (I & 8)], b[(I & 3) | 4 | (I & 8)], I & 4 ? 0xdd : 0x88)),
     ...);
}

#elif VECTOR == 32
// 8 rows of 8 numbers, turned: pairs of numbers, of two, of four change places.
template <int... I>
ALWAYS void turned(std::integer_sequence<int, I...>, const float* from, int64_t row, float* to, int64_t to_row) {
    __m256 a[8] = {_mm256_loadu_ps(from + I * row)...}, b[8];
    ((b[I] = I & 1 ? _mm256_unpackhi_ps(a[I & ~1], a[I | 1]) : _mm256_unpacklo_ps(a[I & ~1], a[I | 1])), ...);
    ((a[I] = _mm256_shuffle_ps(b[(I & ~3) | (I >> 1 & 1)], b[(I & ~3) | 2 | (I >> 1 & 1)], I & 1 ? 0xee : 0x44)), ...);
    (_mm256_storeu_ps(to + I * to_row, _mm256_permute2f128_ps(a[I & 3], a[I & 3 | 4], I & 4 ? 0x31 : 0x20)), ...);
}
#endif

#if VECTOR >= 32
template <>
inline void turn<float>(int n, const float* from, int64_t row, float* to, int64_t to_row) {
    constexpr int side = Lanes<float>::count;
    int i = 0;
    for (; i + side <= n; i += side) turned(std::make_integer_sequence<int, side>(), from + i, row, to + i * to_row, to_row);
    turn_each(i, n, from, row, to, to_row);
}
#endif

// ---- sums ----

// Sums are taken lane by lane, and then the lanes by halves: a compiler's own way depends on where an array begins in
// memory, and then a run would not give the same bits twice.
template <class T, class Join>
ALWAYS T joined(typename Lanes<T>::type lanes, Join join) {
    T all[Lanes<T>::count];
    std::memcpy(all, &lanes, sizeof all);
    for (int half = Lanes<T>::count / 2; half; half /= 2)
        for (int i = 0; i < half; i++) all[i] = join(all[i], all[i + half]);
    return all[0];
}

template <class T>
ALWAYS T total(typename Lanes<T>::type lanes) {
    return joined<T>(lanes, [](T a, T b) { return a + b; });
}

// The greatest of n numbers; minus infinity of none
template <class T>
T most_of(const T* a, int n) {
    typedef typename Lanes<T>::type V;
    V high = V{} - INFINITY;
    int j = 0;
    for (; j + Lanes<T>::count <= n; j += Lanes<T>::count) high = *(const V*)(a + j) > high ? *(const V*)(a + j) : high;
    T most = joined<T>(high, [](T a, T b) { return std::max(a, b); });
    for (; j < n; j++) most = std::max(most, a[j]);
    return most;
}

template <class T>
T dot(const T* a, const T* b, int n) {
    typedef typename Lanes<T>::type V;
    V sum{};
    int j = 0;
    for (; j + Lanes<T>::count <= n; j += Lanes<T>::count) sum += *(const V*)(a + j) * *(const V*)(b + j);
    T all = total<T>(sum);
    for (; j < n; j++) all += a[j] * b[j];
    return all;
}

template <class T>
T dot3(const T* a, const T* b, const T* c, int n) {
    typedef typename Lanes<T>::type V;
    V sum{};
    int j = 0;
    for (; j + Lanes<T>::count <= n; j += Lanes<T>::count)
        sum += *(const V*)(a + j) * *(const V*)(b + j) * *(const V*)(c + j);
    T all = total<T>(sum);
    for (; j < n; j++) all += a[j] * b[j] * c[j];
    return all;
}

template <class T>
T sum_of(const T* a, int n) {
    typedef typename Lanes<T>::type V;
    V sum{};
    int j = 0;
    for (; j + Lanes<T>::count <= n; j += Lanes<T>::count) sum += *(const V*)(a + j);
    T all = total<T>(sum);
    for (; j < n; j++) all += a[j];
    return all;
}

// ---- exp(x) for x <= 0 ----

// x = n ln 2 + r with |r| <= ln 2 / 2; the series of exp(r) up to r^7 / 7! is exact to 6e-9.
ALWAYS Lanes<float>::type exponential(Lanes<float>::type given) {
    typedef Lanes<float>::type V;
    typedef int32_t I __attribute__((vector_size(VECTOR), aligned(4), may_alias));
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

ALWAYS Lanes<double>::type exponential(Lanes<double>::type given) {
    for (int i = 0; i < Lanes<double>::count; i++) given[i] = std::exp(given[i]);
    return given;
}

// x = exp(x - less) over n places, n a multiple of the lanes
template <class T>
void exponential(T* x, int n, T less) {
    typedef typename Lanes<T>::type V;
    for (int j = 0; j < n; j += Lanes<T>::count) *(V*)(x + j) = exponential(*(V*)(x + j) - less);
}

template <class V>
ALWAYS V sigmoid(V x) {
    const V small = exponential(x < 0 ? x : -x);
    return (x < 0 ? small : V{} + 1) / (1 + small);
}

// each(place, count): whole vectors from a to b, and what is left of them
template <class T, class Each>
ALWAYS void by_lanes(int64_t from, int64_t stop, Each each) {
    for (; from + Lanes<T>::count <= stop; from += Lanes<T>::count) each(from, Lanes<T>::count);
    if (from < stop) each(from, (int)(stop - from));
}
template <class T>
ALWAYS typename Lanes<T>::type some(const T* from, int count) {
    typedef typename Lanes<T>::type V;
    if (count == Lanes<T>::count) return *(const V*)from;
    V v{};
    std::memcpy(&v, from, count * sizeof(T));
    return v;
}
template <class T>
ALWAYS void put(typename Lanes<T>::type v, T* to, int count) {
    if (count == Lanes<T>::count)
        *(typename Lanes<T>::type*)to = v;
    else
        std::memcpy(to, &v, count * sizeof(T));
}

// y (count) = silu(gate) * up
template <class T>
void gated(int64_t from, int64_t stop, const T* gate, const T* up, T* y) {
    by_lanes<T>(from, stop, [=](int64_t i, int count) {
        const auto g = some(gate + i, count);
        put<T>(g * sigmoid(g) * some(up + i, count), y + i, count);
    });
}

// y (n) = x / sqrt(mean(x^2) + eps) * weight; gives the factor
template <class T>
T normed(int n, const T* x, const T* weight, T eps, T* y) {
    const T inverse = 1 / std::sqrt(dot(x, x, n) / n + eps);
#pragma omp simd
    for (int j = 0; j < n; j++) y[j] = x[j] * inverse * weight[j];
    return inverse;
}

// ---- int8 ----

// n numbers as codes from -127 to 127, and `more`; gives their scale
inline float codes_of(const float* from, int n, int8_t* to, int more) {
    float most = 1e-30f;
#pragma omp simd reduction(max : most)
    for (int j = 0; j < n; j++) most = std::max(most, std::abs(from[j]));
    const float inverse = 127 / most;
#pragma omp simd
    for (int j = 0; j < n; j++)
        to[j] = (int8_t)((int32_t)((from[j] * inverse + 12582912.0f) - 12582912.0f) + more);
    return most / 127;
}

}  // namespace
