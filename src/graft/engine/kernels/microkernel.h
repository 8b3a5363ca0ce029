// Products of matrices that are in the cache: tiles of accumulators, each in a register.
#pragma once
#include "simd.h"

namespace {

// The left factor (M, K) with its strides. The right one (K, N): the stride of its rows, and from one vector of columns to
// the next.
template <class T>
struct LeftMatrix {
    const T* data;
    int64_t row, col;
};
template <class T>
struct RightMatrix {
    const T* data;
    int64_t row, vector;
};

// M rows by N vectors of sums. It is an array only to the reader: with every index a constant of the fold expression, each
// element is a register. A loop over them leaves the array in memory (GCC 12), at a third of the speed.
template <class T, int N, int... I>
struct AccumulatorArray {
    typedef typename Simd<T>::Vector V;
    V sum[sizeof...(I)];

    ALWAYS_INLINE void clear() { ((sum[I] = V{}), ...); }
    ALWAYS_INLINE void load(const T* c, int64_t row) {
        ((sum[I] = *(const V*)(c + (I / N) * row + I % N * Simd<T>::lanes)), ...);
    }
    ALWAYS_INLINE void store(T* c, int64_t row) const { ((*(V*)(c + (I / N) * row + I % N * Simd<T>::lanes) = sum[I]), ...); }
    ALWAYS_INLINE void add(int K, LeftMatrix<T> a, RightMatrix<T> b) {
        for (int k = 0; k < K; k++) {
            V right[N];
            ((I < N ? void(right[I % N] = *(const V*)(b.data + k * b.row + I % N * b.vector)) : void()), ...);
            ((sum[I] += a.data[(I / N) * a.row + k * a.col] * right[I % N]), ...);
        }
    }
};

template <class T, int N, class Indices>
struct AccumulatorsOf;
template <class T, int N, int... I>
struct AccumulatorsOf<T, N, std::integer_sequence<int, I...>> {
    typedef AccumulatorArray<T, N, I...> type;
};
template <class T, int M, int N>
using Accumulators = typename AccumulatorsOf<T, N, std::make_integer_sequence<int, M * N>>::type;

constexpr int MAX_TILE_ROWS = 8;

template <class T, int M, int N>
inline void tile(int K, LeftMatrix<T> a, RightMatrix<T> b, T* c, int64_t c_row, bool accumulate) {
    Accumulators<T, M, N> sums;
    accumulate ? sums.load(c, c_row) : sums.clear();
    sums.add(K, a, b);
    sums.store(c, c_row);
}

template <class T, int N>
void strip(int M, int K, LeftMatrix<T> a, RightMatrix<T> b, T* c, int64_t c_row, bool accumulate) {
    constexpr int rows = std::min(MAX_TILE_ROWS, MAX_ACCUMULATORS / N);
    int i = 0;
    for (; i + rows <= M; i += rows) tile<T, rows, N>(K, {a.data + i * a.row, a.row, a.col}, b, c + i * c_row, c_row, accumulate);
    const auto rest = [&](auto count) {
        for (; i + count <= M; i += count)
            tile<T, count, N>(K, {a.data + i * a.row, a.row, a.col}, b, c + i * c_row, c_row, accumulate);
    };
    if constexpr (rows > 4) rest(std::integral_constant<int, 4>());
    if constexpr (rows > 2) rest(std::integral_constant<int, 2>());
    rest(std::integral_constant<int, 1>());
}

// c (M, N) = or += a (M, K) b (K, N); N is a multiple of the lanes
template <class T>
void small_gemm(int M, int N, int K, LeftMatrix<T> a, RightMatrix<T> b, T* c, int64_t c_row, bool accumulate) {
    for (int j = 0, left = N / Simd<T>::lanes; left > 0;) {
        const int n = left > 4 ? 3 : left <= MAX_TILE_VECTORS ? left : 2;
        const RightMatrix<T> from = {b.data + j * b.vector, b.row, b.vector};
        T* to = c + j * Simd<T>::lanes;
        if (n == 1) strip<T, 1>(M, K, a, from, to, c_row, accumulate);
        if (n == 2) strip<T, 2>(M, K, a, from, to, c_row, accumulate);
        if (n == 3) strip<T, 3>(M, K, a, from, to, c_row, accumulate);
        if constexpr (MAX_TILE_VECTORS > 3)
            if (n == 4) strip<T, 4>(M, K, a, from, to, c_row, accumulate);
        j += n, left -= n;
    }
}

template <class T>
void small_gemm(int M, int N, int K, const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t b_row, T* c, int64_t c_row,
             bool accumulate) {
    small_gemm<T>(M, N, K, {a, a_row, a_col}, {b, b_row, Simd<T>::lanes}, c, c_row, accumulate);
}

}  // namespace
