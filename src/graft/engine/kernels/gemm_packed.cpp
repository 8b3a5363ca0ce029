// Products with frozen weights, with a low-rank part beside them, in one pass over the result: to = [start +] x wᵀ + low b.
// A weight is packed by columns of lanes, so that a tile reads it straight on.
#include "simd.h"
#include "gemm.h"

namespace {

constexpr int LANES = Lanes<float>::count;
constexpr int PANEL = 3;                    // columns of lanes in a panel: a tile's
constexpr int WIDTH = PANEL * LANES;        // numbers
constexpr int64_t TAKEN = 8 * 1024 * 1024;  // bytes of x that stay in the last cache while the weight goes by

struct Low : LowRank {
    const float* panel;  // of b, by its scale: (R, WIDTH)

    void start(int column, int count) {
        static thread_local std::vector<float> room;
        room.resize((size_t)R * WIDTH);
        for (int r = 0; r < R; r++)
            for (int j = 0; j < count; j++) room[r * WIDTH + j] = scale * b[r * b_row + (column + j) * b_col];
        panel = room.data();
    }
};

constexpr int DEEPEST = 4096;  // numbers of k at once: a panel of them stays in the second cache

// Into how many parts the rows go, so that `panels` of each are as much for every thread.
int64_t parts_of(int64_t bytes, int panels, int threads) {
    int64_t best = 1;
    double least = INFINITY;
    for (int64_t parts = 1 + (bytes - 1) / TAKEN, end = parts + threads; parts < end; parts++) {
        const double rounds = (double)((panels * parts + threads - 1) / threads) / parts;
        const double cost = rounds * (1 + 0.02 * parts);  // each part's panels are packed anew
        if (cost < least) least = cost, best = parts;
    }
    return best;
}

template <int N, class Way>
void wide_rows(Way& way, int64_t from, int64_t stop, int column) {
    constexpr int rows = std::min(ROWS, SUMS / N);
    int64_t i = from;
    for (; i + rows <= stop; i += rows) {
        way.ahead(rows, stop - from);
        way.template tile<rows, N>(i, column);
    }
    for (; i < stop; i++) way.template tile<1, N>(i, column);
}

// All of (rows, n), a thread a run of panels; a row of x has `bytes`.
template <class Way>
void wide_panels(const Way& given, int64_t rows, int n, int bytes) {
    const int panels = (n + WIDTH - 1) / WIDTH, threads = omp_get_max_threads();
    const int64_t parts = parts_of(rows * bytes, panels, threads), units = panels * parts;
#pragma omp parallel for schedule(static, 1)
    for (int thread = 0; thread < threads; thread++) {
        Way way = given;
        const int64_t end = units * (thread + 1) / threads;
        for (int64_t unit = units * thread / threads; unit < end; unit++) {
            const int column = (int)(unit % panels) * WIDTH, lanes = std::min(WIDTH, n - column) / Lanes<float>::count;
            const int64_t part = unit / panels, from = rows * part / parts, stop = rows * (part + 1) / parts;
            way.start(column, lanes, unit + 1 < end ? (int)((unit + 1) % panels) * WIDTH : -1);
            if (lanes == 1) wide_rows<1>(way, from, stop, column);
            if (lanes == 2) wide_rows<2>(way, from, stop, column);
            if (lanes == 3) wide_rows<3>(way, from, stop, column);
        }
    }
}

template <class S>
ALWAYS void finish(S& sums, const Low& low, int64_t row, float* to, int n) {
    if (low.R) sums.add(low.R, {low.low + row * low.row, low.row, 1}, {low.panel, WIDTH, LANES});
    sums.store(to, n);
}

#if VECTOR >= 32
// A panel of w is packed when its turn comes, and the next one is fetched while the rows go by.
struct Exact {
    int n, k;
    const float *x, *w;  // (rows, k; from a row to the next x_row), (n, k) by any strides
    int64_t x_row, w_row, w_col;
    Low low;
    float* to;
    const float* start_at;  // what the sums begin with (rows, n), which may be `to`; or none
    const float* packed;
    Ahead next;

    void start(int column, int lanes, int following) {
        static thread_local std::vector<float> room;
        room.resize((size_t)WIDTH * k);
        low.start(column, lanes * LANES);
        for (int block = 0; block < lanes; block++) pack(column + block * LANES, &room[(size_t)block * k * LANES]);
        packed = room.data();
        next = following < 0 ? Ahead() : Ahead(w + following * w_row, w_row, w_col, std::min(WIDTH, n - following), k);
    }

    void pack(int column, float* block) const {
        const float* from = w + column * w_row;
        int i = 0;
        if (w_row == 1)
            for (; i < k; i++) std::memcpy(block + i * LANES, from + i * w_col, VECTOR);
        else if (w_col == 1)
            for (; i + LANES <= k; i += LANES) turn(LANES, from + i, w_row, block + i * LANES, LANES);
        for (; i < k; i++)
            for (int j = 0; j < LANES; j++) block[i * LANES + j] = from[j * w_row + i * w_col];
    }

    ALWAYS void ahead(int rows, int64_t of) { next.fetch(of / rows + 1); }

    template <int M, int N>
    inline void tile(int64_t row, int column) const {
        Tile<float, M, N> sums;
        float* here = to + row * n + column;
        start_at ? sums.load(start_at + row * n + column, n) : sums.clear();
        sums.add(k, {x + row * x_row, x_row, 1}, {packed, LANES, (int64_t)k * LANES});
        finish(sums, low, row, here, n);
    }
};
#endif

#ifdef CODES
typedef int32_t Words __attribute__((vector_size(VECTOR), aligned(4), may_alias));

// To each sum four products of an unsigned and a signed code; the intrinsic copies the sum at each call (GCC 12).
ALWAYS void multiply(Words& sum, Words left, Words right) {
#if VECTOR == 64
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
#else
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(left), "x"(right));
#endif
}

struct Codes {
    int n, k;
    const uint8_t* x;  // (rows, k): codes and 128
    const float* scales;
    const int8_t* packed;  // (n / UNIT, k / 4, UNIT, 4)
    const float* columns;  // (n): the weight's scales,
    const int32_t* less;   // and 128 times the sums of its codes
    Low low;
    float* to;
    const float* start_at;

    void start(int column, int lanes, int) { low.start(column, lanes * LANES); }
    void ahead(int, int64_t) {}
    const int8_t* columns_of(int column) const { return packed + (int64_t)(column / UNIT) * UNIT * k + column % UNIT * 4; }

    template <int M, int N>
    inline void tile(int64_t row, int column) const {
        tile<N>(std::make_integer_sequence<int, M * N>(), row, column);
    }

    template <int N, int... I>
    ALWAYS void tile(std::integer_sequence<int, I...>, int64_t row, int column) const {
        constexpr int M = sizeof...(I) / N;
        Words sum[M * N] = {((void)I, Words{})...};
        const uint8_t* a = x + row * k;
        const int8_t* w[N];
        ((I < N ? void(w[I % N] = columns_of(column + I % N * LANES)) : void()), ...);
        for (int c = 0; c < k; c += 4) {
            Words right[N];
            ((I < N ? void(right[I % N] = *(const Words*)(w[I % N] + c * UNIT)) : void()), ...);
            (multiply(sum[I], Words{} + *(const int32_t*)(a + (int64_t)(I / N) * k + c), right[I % N]), ...);
        }
        typedef typename Lanes<float>::type V;
        Tile<float, M, N> sums;
        float* here = to + row * n + column;
        ((sums.sum[I] = __builtin_convertvector(sum[I] - *(const Words*)(less + column + I % N * LANES), V) *
                        *(const V*)(columns + column + I % N * LANES) * scales[row + I / N]),
         ...);
        const float* more = start_at + row * n + column;
        if (start_at) ((sums.sum[I] += *(const V*)(more + (int64_t)(I / N) * n + I % N * LANES)), ...);
        finish(sums, low, row, here, n);
    }
};
#endif

}  // namespace

#if VECTOR >= 32
// w (n, k) by any strides, n a multiple of the lanes
EXPORT void wide_product(int64_t rows, int n, int k, const float* x, const float* w, int64_t w_row, int64_t w_col, int R,
                         const float* low, int64_t low_row, const float* b, int64_t b_row, int64_t b_col, double scale,
                         float* to, const float* start) {
    const LowRank low_part = {R, low, low_row, b, b_row, b_col, (float)scale};
    if (tiles_product(rows, n, k, x, k, w, w_row, w_col, low_part, to, start)) return;
    for (int from = 0; from < k; from += DEEPEST) {
        const int some = std::min(DEEPEST, k - from);
        LowRank beside = low_part;
        if (from) beside.R = 0;
        const float* begin = from ? to : start;
        const Exact way = {n, some, x + from, w + from * w_col, k, w_row, w_col, {beside, nullptr}, to, begin, nullptr, {}};
        wide_panels(way, rows, n, some * (int)sizeof(float));
    }
}
#endif

#ifdef CODES
// k is a multiple of 4, n of the lanes
EXPORT void wide_codes(int64_t rows, int n, int k, const uint8_t* x, const float* scales, const int8_t* packed,
                       const float* columns, const int32_t* less, int R, const float* low, int64_t low_row, const float* b,
                       int64_t b_row, int64_t b_col, double scale, float* to, const float* start) {
    const LowRank beside = {R, low, low_row, b, b_row, b_col, (float)scale};
    if (tiles_codes(rows, n, k, x, scales, packed, columns, less, beside, to, start)) return;
    wide_panels(Codes{n, k, x, scales, packed, columns, less, {beside, nullptr}, to, start}, rows, n, k);
}
#endif
