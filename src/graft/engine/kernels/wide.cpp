// Products with frozen weights, with a low-rank part beside them, in one pass over the result: to = [to +] x wᵀ + low b.
// A weight is packed by columns of lanes, so that a tile reads it straight on.
#include "lanes.h"

namespace {

// low (rows, R; from a row to the next low_row) times b (R, n); R 0: none
struct Low {
    int R;
    const float* low;
    int64_t row;
    const float* b;
};

constexpr int TAKEN = 256 * 1024;  // bytes of x that stay in the second cache while the weight goes by

template <int N, class Way>
void wide_strip(const Way& way, int64_t from, int64_t stop, int column) {
    constexpr int rows = std::min(ROWS, SUMS / N);
    int64_t i = from;
    for (; i + rows <= stop; i += rows) way.template tile<rows, N>(i, column);
    for (; i < stop; i++) way.template tile<1, N>(i, column);
}

// All tiles of (rows, n); `bytes` of x are a row. Within a parallel region.
template <class Way>
void wide_tiles(const Way& way, int64_t rows, int n, int bytes) {
    constexpr int lanes = Lanes<float>::count, most = std::min(WIDEST, 3);
    const int64_t at_once = std::max(1, TAKEN / bytes / ROWS) * ROWS, parts = omp_get_max_threads();
#pragma omp for schedule(static, 1)
    for (int64_t part = 0; part < parts; part++) {
        const int64_t end = part + 1 == parts ? rows : rows / ROWS * (part + 1) / parts * ROWS;
        for (int64_t from = rows / ROWS * part / parts * ROWS; from < end; from += at_once) {
            const int64_t stop = std::min(end, from + at_once);
            for (int j = 0; j < n;) {
                const int left = std::min(most, (n - j) / lanes);
                if (left == 1) wide_strip<1>(way, from, stop, j);
                if constexpr (most > 1) {
                    if (left == 2) wide_strip<2>(way, from, stop, j);
                    if (left == 3) wide_strip<3>(way, from, stop, j);
                }
                j += left * lanes;
            }
        }
    }
}

template <class S>
ALWAYS void finish(S& sums, const Low& low, int64_t row, int column, float* to, int n) {
    if (low.R) sums.add(low.R, {low.low + row * low.row, low.row, 1}, {low.b + column, n, Lanes<float>::count});
    sums.store(to, n);
}

struct Exact {
    int n, k;
    const float *x, *packed;  // (rows, k), (n / lanes, k, lanes)
    Low low;
    float* to;
    bool add;

    template <int M, int N>
    inline void tile(int64_t row, int column) const {
        constexpr int lanes = Lanes<float>::count;
        Tile<float, M, N> sums;
        float* here = to + row * n + column;
        add ? sums.load(here, n) : sums.clear();
        sums.add(k, {x + row * k, k, 1}, {packed + (int64_t)column * k, lanes, (int64_t)k * lanes});
        finish(sums, low, row, column, here, n);
    }
};

#ifdef __AVX512VNNI__
typedef int32_t Words __attribute__((vector_size(64), aligned(4), may_alias));

// To each sum four products of an unsigned and a signed code; the intrinsic copies the sum at each call (GCC 12).
ALWAYS void multiply(Words& sum, Words left, Words right) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
}

struct Codes {
    int n, k;
    const uint8_t* x;  // (rows, k): codes and 128
    const float* scales;
    const int8_t* packed;  // (n / lanes, k / 4, lanes, 4)
    const float* columns;  // (n): the weight's scales,
    const int32_t* less;   // and 128 times the sums of its codes
    Low low;
    float* to;
    bool add;

    template <int M, int N>
    inline void tile(int64_t row, int column) const {
        tile<N>(std::make_integer_sequence<int, M * N>(), row, column);
    }

    template <int N, int... I>
    ALWAYS void tile(std::integer_sequence<int, I...>, int64_t row, int column) const {
        constexpr int lanes = Lanes<float>::count, M = sizeof...(I) / N;
        Words sum[M * N] = {((void)I, Words{})...};
        const uint8_t* a = x + row * k;
        const int8_t* w = packed + (int64_t)column * k;
        for (int c = 0; c < k; c += 4) {
            Words right[N];
            ((I < N ? void(right[I % N] = *(const Words*)(w + c * lanes + (int64_t)(I % N) * k * lanes)) : void()), ...);
            (multiply(sum[I], Words{} + *(const int32_t*)(a + (int64_t)(I / N) * k + c), right[I % N]), ...);
        }
        typedef typename Lanes<float>::type V;
        Tile<float, M, N> sums;
        float* here = to + row * n + column;
        ((sums.sum[I] = __builtin_convertvector(sum[I] - *(const Words*)(less + column + I % N * lanes), V) *
                        *(const V*)(columns + column + I % N * lanes) * scales[row + I / N]),
         ...);
        if (add) ((sums.sum[I] += *(const V*)(here + (int64_t)(I / N) * n + I % N * lanes)), ...);
        finish(sums, low, row, column, here, n);
    }
};
#endif

}  // namespace

#ifdef __AVX512F__
// w (n, k) by any strides, n a multiple of the lanes; packed (n * k) is scratch
EXPORT void wide_product(int64_t rows, int n, int k, const float* x, const float* w, int64_t w_row, int64_t w_col,
                         float* packed, int R, const float* low, int64_t low_row, const float* b, float* to, int add) {
    constexpr int lanes = Lanes<float>::count;
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int block = 0; block < n / lanes; block++) {
            float* at = packed + (int64_t)block * k * lanes;
            const float* from = w + block * lanes * w_row;
            if (w_row == 1)
                for (int i = 0; i < k; i++) std::memcpy(at + i * lanes, from + i * w_col, lanes * sizeof(float));
            else
                for (int i = 0; i < k; i++)
                    for (int j = 0; j < lanes; j++) at[i * lanes + j] = from[j * w_row + i * w_col];
        }
        wide_tiles(Exact{n, k, x, packed, {R, low, low_row, b}, to, add != 0}, rows, n, k * (int)sizeof(float));
    }
}
#endif

#ifdef __AVX512VNNI__
// k is a multiple of 4, n of the lanes
EXPORT void wide_codes(int64_t rows, int n, int k, const uint8_t* x, const float* scales, const int8_t* packed,
                       const float* columns, const int32_t* less, int R, const float* low, int64_t low_row, const float* b,
                       float* to, int add) {
#pragma omp parallel
    wide_tiles(Codes{n, k, x, scales, packed, columns, less, {R, low, low_row, b}, to, add != 0}, rows, n, k);
}
#endif
